/* What the two halves of the motor master share. */
#ifndef OAT_MOTORS_INTERNAL_H
#define OAT_MOTORS_INTERNAL_H

#include "motors.h"

/* Control table of the X series (e-manual). */
enum servo_register {
    OPERATING_MODE = 11,
    SECONDARY_ID = 12,
    MAX_POSITION_LIMIT = 48, /* the lower limit follows at 52 */
    TORQUE_ENABLE = 64,
    HARDWARE_ERROR_STATUS = 70,
    BUS_WATCHDOG = 98,
    PROFILE_ACCELERATION = 108, /* the velocity follows at 112 */
    GOAL_POSITION = 116,
    PRESENT_CURRENT = 126, /* velocity and position follow */
    PRESENT_POSITION = 132,
};

/* Hands the finished packet to the line; false if there is no room. */
bool oat_motors_send(struct oat_motors *motors);

/* Remembers who did not answer this cycle, or asks them in the next one if all have answered. */
void oat_torque_note_silent(struct oat_motors *motors);
void oat_torque_note_complete(struct oat_motors *motors);

/* Asks those who were silent for their torque, and takes an answer to that. */
void oat_torque_ask(struct oat_motors *motors);
void oat_torque_accept(struct oat_motors *motors, const struct oat_servo_status *status);

/* Takes the answer to the running script's question. */
void oat_script_accept(struct oat_motors *motors, const struct oat_servo_status *status);

/* Asks, repeats or ends; true when the script has ended. */
bool oat_script_poll(struct oat_motors *motors, uint64_t now_us);

#endif
