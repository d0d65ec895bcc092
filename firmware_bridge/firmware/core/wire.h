/* oatlink payloads: header, tag and CRC around a body (docs/oatlink.md, sections 2 and 8). */
#ifndef OAT_WIRE_H
#define OAT_WIRE_H

#include "blake2s.h"
#include "bytes.h"

#define OAT_VERSION 1u
#define OAT_HEADER_LENGTH 9u
#define OAT_CRC_LENGTH 4u
#define OAT_TAG_LENGTH 8u
#define OAT_MAX_BODY 120u
#define OAT_MAX_PAYLOAD (OAT_HEADER_LENGTH + OAT_MAX_BODY + OAT_TAG_LENGTH + OAT_CRC_LENGTH)
#define OAT_NO_SESSION 0u

enum oat_type {
    OAT_HELLO = 1,
    OAT_CONFIG = 2,
    OAT_ARM = 3,
    OAT_DISARM = 4,
    OAT_SETPOINTS = 5,
    OAT_TIME = 6,
    OAT_ESTOP = 7,
    OAT_WELCOME = 9,
    OAT_ACK = 10,
    OAT_TELEMETRY = 13,
    OAT_TIME_REPLY = 14,
};

struct oat_link {
    bool has_key;
    uint8_t key[OAT_KEY_LENGTH];
};

struct oat_frame {
    uint8_t type; /* enum oat_type, or an unknown one */
    uint16_t sequence;
    uint64_t time_us; /* of the controller's clock; 0 in HELLO */
    const uint8_t *body;
    size_t body_length;
};

/* Writes a payload of at most OAT_MAX_PAYLOAD bytes and returns its length; 0 if the body is too
 * long. `frame->time_us` is the controller's time at sending. */
size_t oat_seal(const struct oat_link *link, uint32_t session, const struct oat_frame *frame,
                uint8_t *payload);

/* Takes a payload apart; false if it is damaged, foreign or forged. `frame->body` points into it.
 * `now_us` is this side's idea of the controller's time. */
bool oat_open(const struct oat_link *link, uint32_t session, uint64_t now_us,
              const uint8_t *payload, size_t length, struct oat_frame *frame);

#endif
