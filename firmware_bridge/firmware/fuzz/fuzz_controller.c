/* A whole controller under fire: random messages with good CRCs, random motors, random time. What may
 * never happen is checked after every input. */
#include "controller.h"
#include "crc.h"
#include "random.h"
#include "wire.h"

#define JOINTS 3u
#define MAX_STEP_US 4000u
#define FINE_MARGIN 2

static void expect(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "%s\n", what);
        abort();
    }
}

static void send(struct oat_controller *controller, struct noise *noise, uint8_t type,
                 const uint8_t *body, size_t length, uint64_t now_us)
{
    uint8_t payload[OAT_MAX_PAYLOAD];
    int32_t error_us = (int32_t)noise_below(noise, 16) == 0 ? (int32_t)noise_next(noise) : 0;
    struct oat_frame frame = {
        .type = type,
        .sequence = (uint16_t)(controller->accepted + noise_below(noise, 4)),
        .time_us = now_us + (uint64_t)(int64_t)error_us,
        .body = body,
        .body_length = length,
    };
    if (type != OAT_SETPOINTS)
        frame.sequence = (uint16_t)(controller->request.sequence + noise_below(noise, 3));
    size_t size = oat_seal(&controller->link, controller->boot_id, &frame, payload);
    oat_controller_payload(controller, payload, size, now_us);
}

static void configure(struct oat_controller *controller, struct noise *noise, uint64_t now_us)
{
    static const uint8_t commit[OAT_COMMIT_COVERED] = {
        JOINTS, 1, 20, 0, 10, 0, 0xF4, 1, 100, 0, 0, 0, 200, 0, 0xA0, 0x0F};
    uint8_t body[1 + OAT_COMMIT_COVERED + 4];
    for (uint8_t i = 0; i < JOINTS; i++) {
        uint8_t record[1 + OAT_JOINT_RECORD] = {i, (uint8_t)(i + 1), OAT_NO_FOLLOWER, 1};
        (void)oat_put_u16(record + 7, (uint16_t)-8000);
        (void)oat_put_u16(record + 9, 8000);
        (void)oat_put_u16(record + 11, (uint16_t)(1024u + noise_below(noise, 2) * 2048u));
        (void)oat_put_u16(record + 13, 1000);
        (void)oat_put_u16(record + 15, 480);
        send(controller, noise, OAT_CONFIG, record, sizeof record, now_us);
        controller->request.known = false;
    }
    uint32_t crc = OAT_CRC32_START;
    for (size_t i = 0; i < JOINTS; i++)
        crc = oat_crc32_feed(crc, controller->staging.record[i], OAT_JOINT_RECORD);
    crc = oat_crc32_finish(oat_crc32_feed(crc, commit, sizeof commit));
    body[0] = 255;
    oat_copy(body + 1, commit, sizeof commit);
    (void)oat_put_u32(body + 1 + sizeof commit, crc);
    send(controller, noise, OAT_CONFIG, body, sizeof body, now_us);
}

static void send_setpoints(struct oat_controller *controller, struct noise *noise, uint64_t now_us)
{
    uint8_t body[OAT_MAX_BODY];
    size_t count = 1u + noise_below(noise, 4);
    size_t joints = noise_below(noise, 20) ? controller->settings.joints : noise_below(noise, 16);
    uint8_t *at = oat_put_u8(body, (uint8_t)(count << 4 | joints));
    at = oat_put_u32(at, (uint32_t)now_us + noise_below(noise, 30000) - 5000u);
    for (size_t k = 1; k < count; k++)
        at = oat_put_u16(at, (uint16_t)noise_below(noise, 20000));
    for (size_t i = 0; i < count * joints && at < body + sizeof body - 2; i++) {
        int32_t here = controller->path.command[i % (joints ? joints : 1)] >> OAT_FINE_BITS;
        int32_t angle = noise_below(noise, 8) ? here + (int32_t)noise_below(noise, 200) - 100
                                              : (int32_t)(int16_t)noise_next(noise);
        at = oat_put_u16(at, (uint16_t)angle);
    }
    send(controller, noise, OAT_SETPOINTS, body, (size_t)(at - body), now_us);
}

static void send_any(struct oat_controller *controller, struct noise *noise, uint64_t now_us)
{
    uint8_t body[OAT_MAX_BODY];
    size_t length = noise_below(noise, sizeof body);
    uint8_t type = (uint8_t)noise_below(noise, 16);
    for (size_t i = 0; i < length; i++)
        body[i] = (uint8_t)noise_next(noise);
    if (type == OAT_ESTOP && noise_below(noise, 8))
        type = OAT_DISARM;
    send(controller, noise, type, body, length, now_us);
}

static void answer(struct oat_controller *controller, uint8_t id, uint8_t error, uint8_t length,
                   uint8_t value)
{
    struct oat_servo_packet packet;
    oat_servo_begin(&packet, id, OAT_SERVO_STATUS);
    oat_servo_put_u8(&packet, error);
    for (uint8_t i = 0; i < length; i++) /* the last four bytes are 2048, the centre, or a limit */
        oat_servo_put_u8(&packet, length == 1 ? value : i + 3 == length ? 8 : 0);
    (void)oat_servo_finish(&packet);
    for (size_t i = 0; i < packet.length; i++)
        oat_controller_motor_byte(controller, packet.data[i]);
}

/* Motors that agree with whatever is written and stand at their centre; now and then they do not. */
static void answer_motors(struct oat_controller *controller, struct noise *noise)
{
    enum { ID_AT = 4, INSTRUCTION_AT = 7, ADDRESS_AT = 8, COUNT_AT = 10, MODE = 11, LIMITS = 48 };
    uint8_t question[OAT_FIFO_SIZE];
    size_t length = 0, last = 0;
    while (oat_fifo_pop(&controller->to_motors, &question[length]))
        length++;
    for (size_t i = 0; i + COUNT_AT < length; i++)
        if (question[i] == 0xFF && question[i + 1] == 0xFF && question[i + 2] == 0xFD)
            last = i;
    if (length <= COUNT_AT || noise_below(noise, 100) == 0)
        return;
    const uint8_t *at = question + last;
    uint8_t error = noise_below(noise, 3000) ? 0 : (uint8_t)noise_next(noise);
    uint8_t count = at[INSTRUCTION_AT] == OAT_SERVO_WRITE ? 0 : at[COUNT_AT];
    uint8_t value = at[ADDRESS_AT] == MODE ? (uint8_t)(4 + noise_below(noise, 30) / 29) : 1;
    if (at[ID_AT] == OAT_SERVO_BROADCAST) /* those that were silent may have lost their torque */
        value = noise_below(noise, 4) != 0;
    for (uint8_t id = 1; id <= JOINTS; id++)
        if (at[ID_AT] == id || at[ID_AT] == OAT_SERVO_BROADCAST)
            answer(controller, id, error, count, value);
}

/* Velocity and position limits hold on every tick, and a stopped controller's queue is empty. */
static void check(const struct oat_controller *controller, const int32_t *before, uint64_t moved_us)
{
    const struct oat_path *path = &controller->path;
    bool live = controller->state == OAT_ARMED || controller->state == OAT_HOLDING;
    expect(path->count <= OAT_QUEUE_KNOTS, "the queue has no bounds");
    expect(live || path->count == 0, "a stopped controller has a queue");
    expect(controller->state != OAT_ARMED || path->following || path->count == 0,
           "armed with knots, following nothing");
    for (size_t i = 0; live && i < controller->settings.joints; i++) {
        const struct oat_joint *joint = &controller->settings.joint[i];
        int64_t fastest = ((int64_t)joint->max_velocity * 16777216 / 1024 / 1000) * 9 / 8 + 2;
        int64_t way = (int64_t)path->command[i] - before[i];
        int64_t most = fastest * (int64_t)(moved_us / OAT_TICK_US + 2) + FINE_MARGIN;
        expect(way <= most && way >= -most, "faster than allowed");
        expect(before[i] > oat_fine(joint->highest) || path->command[i] <= oat_fine(joint->highest),
               "left the position limits");
    }
}

int main(int argc, char **argv)
{
    static struct oat_controller controller;
    struct noise noise;
    uint32_t inputs = noise_start(&noise, argc, argv);
    uint64_t now_us = 0xFFFF0000u;
    uint32_t reached[4] = {0};
    oat_controller_start(&controller, noise_next(&noise), NULL, now_us);
    for (uint32_t i = 0; i < inputs; i++) {
        int32_t before[OAT_MAX_JOINTS];
        for (size_t j = 0; j < OAT_MAX_JOINTS; j++)
            before[j] = controller.path.command[j];
        enum oat_state state = controller.state;
        uint32_t step_us = noise_below(&noise, 100) ? noise_below(&noise, MAX_STEP_US)
                                                    : noise_below(&noise, 200000);
        uint8_t config_crc[4], byte;
        now_us += step_us;
        oat_controller_poll(&controller, now_us);
        (void)oat_put_u32(config_crc, controller.settings.crc);
        uint32_t choice = noise_below(&noise, 64);
        if (choice < 40)
            send_setpoints(&controller, &noise, now_us);
        else if (choice == 40)
            send(&controller, &noise, OAT_HELLO, config_crc, sizeof config_crc, now_us);
        else if (choice == 41)
            configure(&controller, &noise, now_us);
        else if (choice < 44)
            send(&controller, &noise, OAT_ARM, config_crc, sizeof config_crc, now_us);
        else if (choice == 44)
            send_any(&controller, &noise, now_us);
        answer_motors(&controller, &noise);
        while (oat_fifo_pop(&controller.to_host, &byte))
            ;
        if (state == controller.state || (state == OAT_HOLDING && controller.state == OAT_ARMED))
            check(&controller, before, step_us);
        reached[controller.state]++;
    }
    printf("disarmed %u armed %u holding %u latched %u\n", reached[0], reached[1], reached[2],
           reached[3]);
    return reached[OAT_ARMED] > 0 ? 0 : 3; /* a fuzzer that never moves the arm proves little */
}
