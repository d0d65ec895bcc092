/* The controller: a host link on one side, a motor bus on the other, and the rules in between
 * (docs/oatlink.md). No allocation, no globals, no clock of its own. */
#ifndef OAT_CONTROLLER_H
#define OAT_CONTROLLER_H

#include "check.h"
#include "cobs.h"
#include "fifo.h"
#include "motors.h"

enum oat_state { OAT_DISARMED = 0, OAT_ARMED = 1, OAT_HOLDING = 2, OAT_LATCHED = 3 };

enum oat_latch {
    OAT_LATCH_NONE = 0,
    OAT_LATCH_SILENCE = 1,
    OAT_LATCH_MOTOR_LOST = 2,
    OAT_LATCH_MOTOR_FAULT = 3,
    OAT_LATCH_ESTOP = 4,
    OAT_LATCH_MOTOR_LIMP = 5,
};

enum oat_result {
    OAT_DONE = 0,
    OAT_IN_PROGRESS = 1,
    OAT_WRONG_STATE = 2,
    OAT_BAD_VALUE = 3,
    OAT_CONFIG_DIFFERS = 4,
    OAT_UNSUPPORTED = 5,
    OAT_MOTOR_SILENT = 6,
    OAT_MOTOR_REFUSES = 7,
    OAT_BUSY = 8,
};

struct oat_request {
    bool known;
    uint8_t type;
    uint16_t sequence;
    uint8_t result;
    uint8_t detail;
};

struct oat_controller {
    struct oat_link link;
    struct oat_fifo to_host;
    struct oat_fifo to_motors;
    struct oat_deframer deframer;
    uint16_t damaged; /* frames with a bad CRC, tag, version or session */
    uint32_t entropy; /* what the port knew at boot */
    uint32_t boot_id; /* 0 until the first HELLO */
    uint32_t tenure;  /* nonce of the present host */
    uint16_t sequence;
    uint64_t heard_us; /* last valid frame */

    enum oat_state state;
    enum oat_latch latch;
    enum oat_reject reject;
    uint8_t rejects;
    uint8_t clamps;
    bool has_setpoints;
    uint16_t accepted; /* sequence of the last accepted SETPOINTS */
    uint64_t alive_us; /* when it came */
    struct oat_request request;

    struct oat_staging staging;
    struct oat_settings settings;
    struct oat_path path;
    struct oat_motors motors;
};

/* `entropy` should differ at each boot; `key` has OAT_KEY_LENGTH bytes, or is NULL. */
void oat_controller_start(struct oat_controller *controller, uint32_t entropy, const uint8_t *key,
                          uint64_t now_us);

/* Takes a byte that came from the host, at most a few ms ago. */
void oat_controller_host_byte(struct oat_controller *controller, uint8_t byte, uint64_t now_us);

/* Takes a payload without framing (CAN-FD). */
void oat_controller_payload(struct oat_controller *controller, const uint8_t *payload,
                            size_t length, uint64_t now_us);

/* Takes a byte that came from the motors. */
void oat_controller_motor_byte(struct oat_controller *controller, uint8_t byte);

/* Does what is due; call it at least every millisecond. The port sends what is in `to_host` and
 * `to_motors` afterwards. */
void oat_controller_poll(struct oat_controller *controller, uint64_t now_us);

#endif
