/* The questions that a script asks motors, and what it keeps of the answers. */
#ifndef OAT_MOTOR_STEPS_H
#define OAT_MOTOR_STEPS_H

#include "motors_internal.h"

enum oat_step {
    READ_MODE,
    READ_LIMITS,
    CLEAR_WATCHDOG,
    CLEAR_PROFILE,
    READ_TORQUE,
    READ_POSITION,
    WRITE_GOAL,
    TORQUE_ON,
    VERIFY_TORQUE,
    VERIFY_LEADER,
    VERIFY_FOLLOWER,
    SET_WATCHDOG,
    TORQUE_OFF,
    STOP_WATCHDOG,
    END_OF_MOTOR,
};

struct oat_step_spec {
    uint8_t address;
    uint8_t length;
    bool writes;
};

extern const struct oat_step_spec oat_steps[END_OF_MOTOR];

/* Motors are numbered: the joints' own first, then those that follow one. */
size_t oat_leader_of(const struct oat_motors *motors, size_t motor);

/* The little-endian value that a step writes. */
uint32_t oat_step_value(const struct oat_motors *motors, enum oat_step step);

/* Takes what a step read; false: the servo is not as it has to be. */
bool oat_step_keep(struct oat_motors *motors, enum oat_step step, const uint8_t *data);

#endif
