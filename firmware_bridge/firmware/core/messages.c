/* Frames in and out: dispatch, HELLO, TIME, TELEMETRY. */
#include "requests.h"
#include "servo_units.h"

#define LISTENER_TIMEOUT_US 2000000u
#define CAPABILITY_TAG 0x01u
#define CAPABILITY_FAST_SYNC 0x04u
#define AGE_UNIT_US 10u
#define AGE_NONE 0xFFFFu

#ifndef OAT_FIRMWARE_HASH
#define OAT_FIRMWARE_HASH 0u
#endif

void oat_controller_send(struct oat_controller *controller, enum oat_type type,
                         const uint8_t *body, size_t length, uint64_t now_us)
{
    uint8_t payload[OAT_MAX_PAYLOAD];
    uint8_t frame_bytes[OAT_MAX_FRAME + 1u];
    struct oat_frame frame = {
        .type = (uint8_t)type,
        .sequence = controller->sequence++,
        .time_us = now_us,
        .body = body,
        .body_length = length,
    };
    size_t payload_length = oat_seal(&controller->link, controller->boot_id, &frame, payload);
    size_t end = oat_cobs_encode(frame_bytes, payload, payload_length);
    frame_bytes[end++] = 0;
    (void)oat_fifo_write(&controller->to_host, frame_bytes, end);
}

/* A stir that leaves no bit as it was (Fibonacci hashing, twice). */
static uint32_t stir(uint32_t value)
{
    value = (value ^ value >> 16) * 0x9E3779B1u;
    value = (value ^ value >> 15) * 0x85EBCA6Bu;
    return value ^ value >> 13;
}

static void draw_boot_id(struct oat_controller *controller, uint32_t nonce, uint64_t now_us)
{
    controller->boot_id = stir(stir(stir(controller->entropy) ^ nonce) ^ (uint32_t)now_us);
    if (controller->boot_id == OAT_NO_SESSION)
        controller->boot_id = 1;
}

static void welcome(struct oat_controller *controller, uint64_t now_us)
{
    uint8_t body[26];
    uint8_t capabilities = CAPABILITY_FAST_SYNC;
    if (controller->link.has_key)
        capabilities |= CAPABILITY_TAG;
    uint8_t *at = oat_put_u32(body, controller->tenure);
    at = oat_put_u32(at, controller->boot_id);
    at = oat_put_u32(at, (uint32_t)(now_us >> 32));
    at = oat_put_u32(at, OAT_FIRMWARE_HASH);
    at = oat_put_u32(at, controller->settings.joints == 0 ? 0 : controller->settings.crc);
    at = oat_put_u16(at, (uint16_t)(controller->damaged + controller->deframer.damaged));
    at = oat_put_u8(at, (uint8_t)controller->state);
    at = oat_put_u8(at, controller->settings.joints);
    at = oat_put_u8(at, controller->motors.suspect);
    (void)oat_put_u8(at, capabilities);
    oat_controller_send(controller, OAT_WELCOME, body, sizeof body, now_us);
}

static void hello(struct oat_controller *controller, const struct oat_frame *frame,
                  uint64_t now_us)
{
    if (frame->body_length != 4)
        return;
    uint32_t nonce = oat_get_u32(frame->body);
    bool is_live = controller->state == OAT_ARMED || controller->state == OAT_HOLDING;
    if (nonce != controller->tenure || controller->boot_id == OAT_NO_SESSION) {
        if (is_live)
            return; /* one commander at a time */
        if (controller->boot_id == OAT_NO_SESSION)
            draw_boot_id(controller, nonce, now_us);
        controller->tenure = nonce;
        controller->has_setpoints = false;
        controller->request.known = false;
        controller->request.result = OAT_DONE; /* a running script has nobody left to tell */
    }
    controller->heard_us = now_us;
    welcome(controller, now_us);
}

static void reply_time(struct oat_controller *controller, const struct oat_frame *frame,
                       uint64_t now_us)
{
    uint8_t body[8];
    if (frame->body_length != 4)
        return;
    (void)oat_put_u32(oat_put_u32(body, oat_get_u32(frame->body)), (uint32_t)now_us);
    oat_controller_send(controller, OAT_TIME_REPLY, body, sizeof body, now_us);
}

static uint16_t age_of_measurement(const struct oat_controller *controller, uint64_t now_us)
{
    if (!oat_motors_are_measured(&controller->motors))
        return AGE_NONE;
    uint64_t age_us = now_us - controller->motors.measured_us;
    return age_us < AGE_NONE * AGE_UNIT_US ? (uint16_t)((uint32_t)age_us / AGE_UNIT_US) : AGE_NONE;
}

static uint8_t *put_joint(const struct oat_controller *controller, size_t i, uint8_t *at)
{
    const struct oat_joint *joint = &controller->settings.joint[i];
    const struct oat_measured *measured = &controller->motors.measured[i];
    int32_t fine = oat_fine_from_ticks(joint, measured->position);
    at = oat_put_u16(at, (uint16_t)oat_angle_from_fine(fine));
    at = oat_put_u16(at, (uint16_t)oat_velocity_from_servo(joint, measured->velocity));
    return oat_put_u16(at, (uint16_t)oat_ma_from_servo(joint, measured->current));
}

void oat_controller_report(struct oat_controller *controller, uint64_t now_us)
{
    uint8_t body[OAT_MAX_BODY];
    if (controller->boot_id == OAT_NO_SESSION ||
        now_us - controller->heard_us > LISTENER_TIMEOUT_US)
        return;
    uint16_t status = (uint16_t)((unsigned)controller->state | (unsigned)controller->latch << 2 |
                                 (unsigned)controller->reject << 6 |
                                 (unsigned)controller->path.count << 10);
    uint8_t *at = oat_put_u16(body, status);
    at = oat_put_u16(at, controller->accepted);
    at = oat_put_u8(at, controller->path.underruns);
    at = oat_put_u8(at, controller->rejects);
    at = oat_put_u8(at, (uint8_t)(controller->clamps + controller->path.clamps));
    at = oat_put_u16(at, age_of_measurement(controller, now_us));
    for (size_t i = 0; i < controller->settings.joints; i++)
        at = put_joint(controller, i, at);
    oat_controller_send(controller, OAT_TELEMETRY, body, (size_t)(at - body), now_us);
}

static void dispatch(struct oat_controller *controller, const struct oat_frame *frame,
                     uint64_t now_us)
{
    switch (frame->type) {
    case OAT_SETPOINTS:
        oat_controller_setpoints(controller, frame, now_us);
        break;
    case OAT_TIME:
        reply_time(controller, frame, now_us);
        break;
    case OAT_CONFIG:
    case OAT_ARM:
    case OAT_DISARM:
    case OAT_ESTOP:
        oat_controller_request(controller, frame, now_us);
        break;
    default:
        break; /* ours to send, or of a later version */
    }
}

void oat_controller_payload(struct oat_controller *controller, const uint8_t *payload,
                            size_t length, uint64_t now_us)
{
    struct oat_frame frame;
    if (!oat_open(&controller->link, controller->boot_id, now_us, payload, length, &frame)) {
        controller->damaged++;
    } else if (frame.type == OAT_HELLO) {
        hello(controller, &frame, now_us);
    } else if (controller->boot_id != OAT_NO_SESSION) {
        controller->heard_us = now_us;
        dispatch(controller, &frame, now_us);
    }
}

void oat_controller_host_byte(struct oat_controller *controller, uint8_t byte, uint64_t now_us)
{
    size_t length = oat_deframe(&controller->deframer, byte);
    if (length != 0)
        oat_controller_payload(controller, controller->deframer.frame, length, now_us);
}
