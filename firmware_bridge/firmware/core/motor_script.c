/* Torque on and off, one verified question at a time. */
#include "motors_internal.h"

#define ANSWER_TIMEOUT_US 20000u
#define MAX_ATTEMPTS 3u
#define WATCHDOG_UNIT_MS 20u
#define MAX_WATCHDOG_UNITS 127u
#define MODE_POSITION 3u
#define MODE_EXTENDED 4u
#define MODE_CURRENT_BASED 5u
#define MAX_TURN_TICKS 1048575

enum step {
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

struct step_spec {
    uint8_t address;
    uint8_t length;
    bool writes;
};

static const struct step_spec specs[END_OF_MOTOR] = {
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

static const uint8_t arm_leader[] = {READ_MODE,     READ_LIMITS, CLEAR_WATCHDOG, CLEAR_PROFILE,
                                     READ_TORQUE,   READ_POSITION, WRITE_GOAL,   TORQUE_ON,
                                     VERIFY_TORQUE, SET_WATCHDOG, END_OF_MOTOR};
static const uint8_t arm_follower[] = {VERIFY_LEADER, VERIFY_FOLLOWER, SET_WATCHDOG, END_OF_MOTOR};
static const uint8_t release[] = {TORQUE_OFF, STOP_WATCHDOG, END_OF_MOTOR};

/* Motors: the joints' own first, then those that follow one. */
static size_t leader_of(const struct oat_motors *motors, size_t motor)
{
    size_t joints = motors->settings->joints;
    return motor < joints ? motor : motor - joints;
}

static bool is_follower(const struct oat_motors *motors, size_t motor)
{
    return motor >= motors->settings->joints;
}

static uint8_t id_of(const struct oat_motors *motors, size_t motor)
{
    const struct oat_joint *joint = &motors->settings->joint[leader_of(motors, motor)];
    return is_follower(motors, motor) ? joint->follower_id : joint->motor_id;
}

static enum step current(const struct oat_motors *motors)
{
    if (motors->script == OAT_SCRIPT_RELEASE || motors->rolling_back)
        return release[motors->step];
    return is_follower(motors, motors->motor) ? arm_follower[motors->step]
                                              : arm_leader[motors->step];
}

static bool skips(const struct oat_motors *motors)
{
    if (id_of(motors, motors->motor) == OAT_NO_FOLLOWER)
        return true;
    return motors->rolling_back && (motors->switched >> motors->motor & 1u) == 0;
}

static void next_motor(struct oat_motors *motors)
{
    motors->step = 0;
    motors->attempts = 0;
    do {
        motors->motor++;
    } while (motors->motor < 2u * motors->settings->joints && skips(motors));
}

static bool is_over(const struct oat_motors *motors)
{
    return motors->motor >= 2u * motors->settings->joints;
}

static void next_step(struct oat_motors *motors)
{
    motors->step++;
    motors->attempts = 0;
    if (current(motors) == END_OF_MOTOR)
        next_motor(motors);
}

static void roll_back(struct oat_motors *motors)
{
    motors->rolling_back = true;
    motors->step = motors->attempts = motors->motor = 0;
    if (skips(motors))
        next_motor(motors);
}

static void fail(struct oat_motors *motors, enum oat_script_end end)
{
    if (motors->first_failure == OAT_SCRIPT_DONE) {
        motors->first_failure = end;
        motors->suspect = id_of(motors, motors->motor);
    }
    if (motors->script == OAT_SCRIPT_ARM && !motors->rolling_back)
        roll_back(motors);
    else if (end == OAT_SCRIPT_SILENT)
        next_motor(motors);
    else
        next_step(motors);
}

static uint8_t watchdog_units(const struct oat_settings *settings)
{
    uint32_t units = (settings->watchdog_ms + WATCHDOG_UNIT_MS - 1u) / WATCHDOG_UNIT_MS;
    return (uint8_t)(units > MAX_WATCHDOG_UNITS ? MAX_WATCHDOG_UNITS : units);
}

/* The little-endian value that a step writes. */
static uint32_t value_of(const struct oat_motors *motors, enum step step)
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

static void ask(struct oat_motors *motors, uint64_t now_us)
{
    enum step step = current(motors);
    const struct step_spec *spec = &specs[step];
    struct oat_servo_packet *packet = &motors->packet;
    oat_servo_begin(packet, id_of(motors, motors->motor),
                    spec->writes ? OAT_SERVO_WRITE : OAT_SERVO_READ);
    oat_servo_put_u16(packet, spec->address);
    if (spec->writes) {
        uint32_t value = value_of(motors, step);
        for (size_t i = 0; i < spec->length; i++)
            oat_servo_put_u8(packet, (uint8_t)(i < sizeof value ? value >> 8 * i : 0u));
    } else {
        oat_servo_put_u16(packet, spec->length);
    }
    (void)oat_motors_send(motors);
    motors->parser.length = 0;
    motors->awaiting = true;
    motors->attempts++;
    motors->deadline_us = now_us + ANSWER_TIMEOUT_US;
}

static void keep_limits(struct oat_motors *motors, const uint8_t *data)
{
    size_t i = motors->motor;
    bool one_turn = motors->low_ticks[i] == 0; /* READ_MODE left it so */
    motors->high_ticks[i] = one_turn ? (int32_t)oat_get_u32(data) : MAX_TURN_TICKS;
    motors->low_ticks[i] = one_turn ? (int32_t)oat_get_u32(data + 4) : -MAX_TURN_TICKS;
}

/* False: the servo is not as it has to be. */
static bool keep(struct oat_motors *motors, enum step step, const uint8_t *data)
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
        return data[0] == motors->settings->joint[leader_of(motors, i)].motor_id;
    case VERIFY_TORQUE:
    case VERIFY_FOLLOWER:
        return data[0] == 1;
    default:
        return true;
    }
}

void oat_script_accept(struct oat_motors *motors, const struct oat_servo_status *status)
{
    enum step step = current(motors);
    const struct step_spec *spec = &specs[step];
    bool refused = (status->error & ~OAT_SERVO_ALERT) != 0;
    size_t awaited = spec->writes ? 0u : spec->length;
    if (status->id != id_of(motors, motors->motor) || (!refused && status->length != awaited))
        return; /* a late answer to something else */
    motors->awaiting = false;
    if (refused || !keep(motors, step, status->data))
        fail(motors, OAT_SCRIPT_REFUSED);
    else
        next_step(motors);
}

bool oat_script_poll(struct oat_motors *motors, uint64_t now_us)
{
    if (motors->awaiting && now_us >= motors->deadline_us) {
        motors->awaiting = false;
        if (motors->attempts >= MAX_ATTEMPTS)
            fail(motors, OAT_SCRIPT_SILENT);
    }
    if (is_over(motors)) {
        motors->end = motors->first_failure;
        motors->script = OAT_SCRIPT_NONE;
        motors->awaiting = false;
        motors->next_cycle_us = now_us;
        return true;
    }
    if (!motors->awaiting)
        ask(motors, now_us);
    return false;
}

void oat_motors_run(struct oat_motors *motors, enum oat_script script)
{
    motors->script = script;
    motors->end = motors->first_failure = OAT_SCRIPT_DONE;
    motors->switched = 0;
    motors->rolling_back = motors->awaiting = false;
    motors->motor = motors->step = motors->attempts = 0;
    motors->has_fault = false;
    motors->lost_cycles = 0;
}
