/* Motors that were silent for long may have rebooted, which only their lack of torque tells. One
 * cycle asks them for it in place of everybody's state; goals go out as ever. */
#include "motors_internal.h"

#define REBOOT_US 100000u /* no servo is quicker */
#define TORQUE_LENGTH 1u

static uint32_t all_joints(const struct oat_motors *motors)
{
    return (1u << motors->settings->joints) - 1u;
}

void oat_torque_note_silent(struct oat_motors *motors)
{
    if (motors->silent == 0)
        motors->silent_us = motors->asked_us;
    motors->silent |= all_joints(motors) & ~motors->answered;
    motors->asks_torque = false;
}

void oat_torque_note_complete(struct oat_motors *motors)
{
    bool suspicious = motors->silent != 0 && !motors->asks_torque && motors->driving &&
                      motors->asked_us - motors->silent_us > REBOOT_US;
    motors->asks_torque = suspicious;
    if (!suspicious)
        motors->silent = 0;
}

void oat_torque_ask(struct oat_motors *motors)
{
    struct oat_servo_packet *packet = &motors->packet;
    oat_servo_begin(packet, OAT_SERVO_BROADCAST, OAT_SERVO_SYNC_READ);
    oat_servo_put_u16(packet, TORQUE_ENABLE);
    oat_servo_put_u16(packet, TORQUE_LENGTH);
    for (size_t i = 0; i < motors->settings->joints; i++)
        if (motors->silent >> i & 1u)
            oat_servo_put_u8(packet, motors->settings->joint[i].motor_id);
    (void)oat_motors_send(motors);
    motors->answered = all_joints(motors) & ~motors->silent;
}

void oat_torque_accept(struct oat_motors *motors, const struct oat_servo_status *status)
{
    if (status->length != TORQUE_LENGTH)
        return; /* a late answer to something else */
    for (size_t i = 0; i < motors->settings->joints; i++) {
        if (motors->settings->joint[i].motor_id != status->id)
            continue;
        motors->answered |= 1u << i;
        if (status->data[0] == 0 && !motors->is_limp && !motors->has_fault) {
            motors->is_limp = true;
            motors->suspect = status->id;
        }
    }
}
