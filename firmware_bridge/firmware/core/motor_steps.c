#include "motor_steps.h"

#define WATCHDOG_UNIT_MS 20u
#define MAX_WATCHDOG_UNITS 127u
#define MODE_POSITION 3u
#define MODE_EXTENDED 4u
#define MODE_CURRENT_BASED 5u
#define MAX_TURN_TICKS 1048575

const struct oat_step_spec oat_steps[END_OF_MOTOR] = {
    [READ_MODE] = {OPERATING_MODE, 1, false},
    [READ_LIMITS] = {MAX_POSITION_LIMIT, 8, false},
    [CLEAR_WATCHDOG] = {BUS_WATCHDOG, 1, true},
    [CLEAR_PROFILE] = {PROFILE_ACCELERATION, 8, true},
    [READ_TORQUE] = {TORQUE_ENABLE, 1, false},
    [READ_POSITION] = {PRESENT_POSITION, 4, false},
    [WRITE_GOAL] = {GOAL_POSITION, 4, true},
    [TORQUE_ON] = {TORQUE_ENABLE, 1, true},
    [VERIFY_TORQUE] = {TORQUE_ENABLE, 1, false},
    [VERIFY_LEADER] = {SECONDARY_ID, 1, false},
    [VERIFY_FOLLOWER] = {TORQUE_ENABLE, 1, false},
    [SET_WATCHDOG] = {BUS_WATCHDOG, 1, true},
    [TORQUE_OFF] = {TORQUE_ENABLE, 1, true},
    [STOP_WATCHDOG] = {BUS_WATCHDOG, 1, true},
};

size_t oat_leader_of(const struct oat_motors *motors, size_t motor)
{
    size_t joints = motors->settings->joints;
    return motor < joints ? motor : motor - joints;
}

static uint8_t watchdog_units(const struct oat_settings *settings)
{
    uint32_t units = (settings->watchdog_ms + WATCHDOG_UNIT_MS - 1u) / WATCHDOG_UNIT_MS;
    return (uint8_t)(units > MAX_WATCHDOG_UNITS ? MAX_WATCHDOG_UNITS : units);
}

uint32_t oat_step_value(const struct oat_motors *motors, enum oat_step step)
{
    switch (step) {
    case WRITE_GOAL:
        return (uint32_t)motors->measured[motors->motor].position;
    case TORQUE_ON:
        return 1;
    case SET_WATCHDOG:
        return watchdog_units(motors->settings);
    default:
        return 0;
    }
}

static void keep_limits(struct oat_motors *motors, const uint8_t *data)
{
    size_t i = motors->motor;
    bool one_turn = motors->low_ticks[i] == 0; /* READ_MODE left it so */
    motors->high_ticks[i] = one_turn ? (int32_t)oat_get_u32(data) : MAX_TURN_TICKS;
    motors->low_ticks[i] = one_turn ? (int32_t)oat_get_u32(data + 4) : -MAX_TURN_TICKS;
}

bool oat_step_keep(struct oat_motors *motors, enum oat_step step, const uint8_t *data)
{
    size_t i = motors->motor;
    switch (step) {
    case READ_MODE:
        motors->low_ticks[i] = data[0] == MODE_POSITION ? 0 : -MAX_TURN_TICKS;
        return data[0] == MODE_POSITION || data[0] == MODE_EXTENDED || data[0] == MODE_CURRENT_BASED;
    case READ_LIMITS:
        keep_limits(motors, data);
        return true;
    case READ_TORQUE:
        if (data[0] == 0)
            motors->switched |= 1u << i;
        return true;
    case READ_POSITION:
        motors->measured[i].position = (int32_t)oat_get_u32(data);
        return motors->measured[i].position >= motors->low_ticks[i] &&
               motors->measured[i].position <= motors->high_ticks[i];
    case VERIFY_LEADER:
        return data[0] == motors->settings->joint[oat_leader_of(motors, i)].motor_id;
    case VERIFY_TORQUE:
    case VERIFY_FOLLOWER:
        return data[0] == 1;
    default:
        return true;
    }
}
