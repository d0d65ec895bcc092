#include "motors_internal.h"
#include "servo_units.h"

#define ANSWER_TIMEOUT_US 10000u
#define QUIET_US 2000u /* after a loss: let a late answer pass, it would look like the next one's */
#define STATE_LENGTH 10u
#define GOAL_LENGTH 4u
#define FAST_BLOCK 4u /* error, id and CRC of each servo in the common answer */

bool oat_motors_send(struct oat_motors *motors)
{
    return oat_servo_finish(&motors->packet) &&
           oat_fifo_write(motors->line, motors->packet.data, motors->packet.length);
}

void oat_motors_start(struct oat_motors *motors, const struct oat_settings *settings,
                      struct oat_fifo *line, uint64_t now_us)
{
    motors->settings = settings;
    motors->line = line;
    motors->parser.length = 0;
    motors->driving = motors->awaiting = motors->has_fault = false;
    motors->asks_torque = motors->is_limp = false;
    motors->silent = 0;
    motors->next_cycle_us = now_us;
    motors->measured_us = 0;
    motors->lost_cycles = 0;
    motors->suspect = OAT_NO_MOTOR;
    motors->script = OAT_SCRIPT_NONE;
}

static void send_goals(struct oat_motors *motors, const int32_t *command)
{
    struct oat_servo_packet *packet = &motors->packet;
    oat_servo_begin(packet, OAT_SERVO_BROADCAST, OAT_SERVO_SYNC_WRITE);
    oat_servo_put_u16(packet, GOAL_POSITION);
    oat_servo_put_u16(packet, GOAL_LENGTH);
    for (size_t i = 0; i < motors->settings->joints; i++) {
        int32_t ticks = oat_ticks_from_fine(&motors->settings->joint[i], command[i]);
        if (ticks < motors->low_ticks[i])
            ticks = motors->low_ticks[i];
        if (ticks > motors->high_ticks[i])
            ticks = motors->high_ticks[i];
        oat_servo_put_u8(packet, motors->settings->joint[i].motor_id);
        oat_servo_put_u32(packet, (uint32_t)ticks);
    }
    (void)oat_motors_send(motors);
}

static void ask_state(struct oat_motors *motors)
{
    struct oat_servo_packet *packet = &motors->packet;
    /* A common answer that is cut short does not say by whom: after a loss each answers for itself. */
    bool fast = motors->settings->fast_sync && motors->lost_cycles == 0;
    oat_servo_begin(packet, OAT_SERVO_BROADCAST,
                    fast ? OAT_SERVO_FAST_SYNC_READ : OAT_SERVO_SYNC_READ);
    oat_servo_put_u16(packet, PRESENT_CURRENT);
    oat_servo_put_u16(packet, STATE_LENGTH);
    for (size_t i = 0; i < motors->settings->joints; i++)
        oat_servo_put_u8(packet, motors->settings->joint[i].motor_id);
    (void)oat_motors_send(motors);
}

static void begin_cycle(struct oat_motors *motors, const int32_t *command, uint64_t now_us)
{
    if (motors->driving)
        send_goals(motors, command);
    motors->answered = 0;
    if (motors->asks_torque)
        oat_torque_ask(motors);
    else
        ask_state(motors);
    motors->parser.length = 0;
    motors->awaiting = true;
    motors->asked_us = now_us;
    motors->deadline_us = now_us + ANSWER_TIMEOUT_US;
    motors->next_cycle_us += motors->settings->cycle_us;
    if (motors->next_cycle_us < now_us)
        motors->next_cycle_us = now_us;
}

static void take_state(struct oat_motors *motors, uint8_t id, uint8_t error, const uint8_t *data)
{
    for (size_t i = 0; i < motors->settings->joints; i++) {
        if (motors->settings->joint[i].motor_id != id)
            continue;
        motors->measured[i] = (struct oat_measured){
            .current = oat_get_i16(data),
            .velocity = (int32_t)oat_get_u32(data + 2),
            .position = (int32_t)oat_get_u32(data + 6),
        };
        motors->answered |= 1u << i;
        if (error & OAT_SERVO_ALERT && !motors->has_fault && !motors->is_limp) {
            motors->has_fault = true;
            motors->suspect = id;
        }
    }
}

/* error id data CRC | error id data CRC | …; the packet's own CRC is the last. */
static void take_common(struct oat_motors *motors, const struct oat_servo_status *status)
{
    uint8_t error = status->error;
    for (size_t at = 0; at + 1 + STATE_LENGTH <= status->length; at += STATE_LENGTH + FAST_BLOCK) {
        take_state(motors, status->data[at], error, status->data + at + 1);
        size_t next_error = at + 1 + STATE_LENGTH + 2;
        error = next_error < status->length ? status->data[next_error] : 0;
    }
}

void oat_motors_receive(struct oat_motors *motors, uint8_t byte)
{
    struct oat_servo_status status;
    if (!oat_servo_parse(&motors->parser, byte, &status) || !motors->awaiting)
        return;
    if (motors->script != OAT_SCRIPT_NONE)
        oat_script_accept(motors, &status);
    else if (motors->asks_torque)
        oat_torque_accept(motors, &status);
    else if (status.id == OAT_SERVO_BROADCAST)
        take_common(motors, &status);
    else if (status.length == STATE_LENGTH)
        take_state(motors, status.id, status.error, status.data);
}

static bool is_complete(const struct oat_motors *motors)
{
    return motors->answered == (1u << motors->settings->joints) - 1u;
}

/* A motor that is known to be at fault or limp keeps its place: the reason to latch is about it. */
static void name_missing(struct oat_motors *motors)
{
    if (motors->has_fault || motors->is_limp)
        return;
    size_t i = 0;
    while (motors->answered >> i & 1u)
        i++;
    motors->suspect = motors->settings->joint[i].motor_id;
}

static void note_loss(struct oat_motors *motors, uint64_t now_us)
{
    name_missing(motors);
    oat_torque_note_silent(motors);
    if (motors->lost_cycles < UINT16_MAX)
        motors->lost_cycles++;
    if (motors->next_cycle_us < now_us + QUIET_US)
        motors->next_cycle_us = now_us + QUIET_US;
}

static unsigned end_cycle(struct oat_motors *motors, uint64_t now_us)
{
    motors->awaiting = false;
    if (is_complete(motors)) {
        if (!motors->asks_torque)
            motors->measured_us = motors->asked_us;
        motors->lost_cycles = 0;
        oat_torque_note_complete(motors);
    } else {
        note_loss(motors, now_us);
    }
    return OAT_MOTORS_CYCLE_ENDED;
}

unsigned oat_motors_poll(struct oat_motors *motors, const int32_t *command, uint64_t now_us)
{
    if (motors->settings->joints == 0)
        return 0;
    if (motors->script != OAT_SCRIPT_NONE)
        return oat_script_poll(motors, now_us) ? OAT_MOTORS_SCRIPT_ENDED : 0u;
    if (motors->awaiting && !is_complete(motors) && now_us < motors->deadline_us)
        return 0;
    if (motors->awaiting)
        return end_cycle(motors, now_us);
    if (now_us >= motors->next_cycle_us)
        begin_cycle(motors, command, now_us);
    return 0;
}

bool oat_motors_are_measured(const struct oat_motors *motors)
{
    return motors->measured_us != 0;
}
