/* Torque on and off, one verified question at a time. */
#include "motor_steps.h"

#define ANSWER_TIMEOUT_US 20000u
#define MAX_ATTEMPTS 3u

static const uint8_t arm_leader[] = {READ_MODE,     READ_LIMITS, CLEAR_WATCHDOG, CLEAR_PROFILE,
                                     READ_TORQUE,   READ_POSITION, WRITE_GOAL,   TORQUE_ON,
                                     VERIFY_TORQUE, SET_WATCHDOG, END_OF_MOTOR};
static const uint8_t arm_follower[] = {VERIFY_LEADER, VERIFY_FOLLOWER, SET_WATCHDOG, END_OF_MOTOR};
static const uint8_t release[] = {TORQUE_OFF, STOP_WATCHDOG, END_OF_MOTOR};

static bool is_follower(const struct oat_motors *motors, size_t motor)
{
    return motor >= motors->settings->joints;
}

static uint8_t id_of(const struct oat_motors *motors, size_t motor)
{
    const struct oat_joint *joint = &motors->settings->joint[oat_leader_of(motors, motor)];
    return is_follower(motors, motor) ? joint->follower_id : joint->motor_id;
}

static enum oat_step current(const struct oat_motors *motors)
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

static void ask(struct oat_motors *motors, uint64_t now_us)
{
    enum oat_step step = current(motors);
    const struct oat_step_spec *spec = &oat_steps[step];
    struct oat_servo_packet *packet = &motors->packet;
    oat_servo_begin(packet, id_of(motors, motors->motor),
                    spec->writes ? OAT_SERVO_WRITE : OAT_SERVO_READ);
    oat_servo_put_u16(packet, spec->address);
    if (spec->writes) {
        uint32_t value = oat_step_value(motors, step);
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

void oat_script_accept(struct oat_motors *motors, const struct oat_servo_status *status)
{
    enum oat_step step = current(motors);
    const struct oat_step_spec *spec = &oat_steps[step];
    bool refused = (status->error & ~OAT_SERVO_ALERT) != 0;
    size_t awaited = spec->writes ? 0u : spec->length;
    if (status->id != id_of(motors, motors->motor) || (!refused && status->length != awaited))
        return; /* a late answer to something else */
    motors->awaiting = false;
    if (refused || !oat_step_keep(motors, step, status->data))
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
    motors->has_fault = motors->is_limp = motors->asks_torque = false;
    motors->silent = 0;
    motors->lost_cycles = 0;
}
