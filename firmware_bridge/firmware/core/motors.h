/* The master of a Dynamixel bus: a cycle of goals and measurements, and scripts for torque. */
#ifndef OAT_MOTORS_H
#define OAT_MOTORS_H

#include "fifo.h"
#include "path.h"
#include "servo_packet.h"

#define OAT_NO_MOTOR 255u
#define OAT_MAX_MOTORS (2u * OAT_MAX_JOINTS)
#define OAT_LOST_CYCLES 25u /* cycles in a row without a whole answer: the motors are lost */

enum oat_script { OAT_SCRIPT_NONE, OAT_SCRIPT_ARM, OAT_SCRIPT_RELEASE };
enum oat_script_end { OAT_SCRIPT_DONE, OAT_SCRIPT_SILENT, OAT_SCRIPT_REFUSED };

struct oat_measured {
    int32_t position; /* ticks */
    int32_t velocity; /* 0.229 rev/min */
    int16_t current;  /* 2.69 mA */
};

struct oat_motors {
    const struct oat_settings *settings;
    struct oat_fifo *line; /* bytes to the motor bus */
    struct oat_servo_packet packet;
    struct oat_servo_parser parser;
    bool driving; /* send the path's command in every cycle */

    bool awaiting; /* an answer is due before deadline_us */
    uint64_t next_cycle_us;
    uint64_t deadline_us;
    uint64_t asked_us;
    uint32_t answered; /* bit per joint: answered in this cycle */
    struct oat_measured measured[OAT_MAX_JOINTS];
    int32_t low_ticks[OAT_MAX_JOINTS]; /* the servo's own limits: a goal beyond is not obeyed */
    int32_t high_ticks[OAT_MAX_JOINTS];
    uint64_t measured_us; /* when the question for the last whole answer was sent; 0: never */
    uint16_t lost_cycles;
    uint8_t suspect;  /* motor that last failed to answer, reported a fault or had no torque */
    bool has_fault;

    uint32_t silent;    /* bit per joint: has failed to answer since `silent_us` */
    uint64_t silent_us;
    bool asks_torque;   /* this cycle asks the silent whether they have torque */
    bool is_limp;       /* one had none: it rebooted */

    enum oat_script script;
    enum oat_script_end end;
    uint8_t motor; /* index: joints first, then their followers */
    uint8_t step;
    uint8_t attempts;
    uint32_t switched; /* bit per motor: torque switched on by this script */
    bool rolling_back;
    enum oat_script_end first_failure;
};

/* Events of a call; several may come at once. */
#define OAT_MOTORS_CYCLE_ENDED 0x01u
#define OAT_MOTORS_SCRIPT_ENDED 0x02u

/* Starts over with these settings; the line keeps what it has to send. */
void oat_motors_start(struct oat_motors *motors, const struct oat_settings *settings,
                      struct oat_fifo *line, uint64_t now_us);

/* Takes a byte from the motor bus. */
void oat_motors_receive(struct oat_motors *motors, uint8_t byte);

/* Does what is due; returns events. `command` has one fine angle per joint. */
unsigned oat_motors_poll(struct oat_motors *motors, const int32_t *command, uint64_t now_us);

/* Begins a script in place of whatever runs; `oat_motors_poll` tells when it has ended. */
void oat_motors_run(struct oat_motors *motors, enum oat_script script);

/* True if every joint has been measured at least once. */
bool oat_motors_are_measured(const struct oat_motors *motors);

#endif
