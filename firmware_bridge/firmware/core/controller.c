/* States and their changes: arming, the ladder of silence, setpoints, and the cycle. */
#include "requests.h"
#include "servo_units.h"

#define US_PER_MS 1000u

void oat_controller_start(struct oat_controller *controller, uint32_t entropy, const uint8_t *key,
                          uint64_t now_us)
{
    uint8_t *bytes = (uint8_t *)controller;
    for (size_t i = 0; i < sizeof *controller; i++)
        bytes[i] = 0;
    controller->entropy = entropy;
    controller->link.has_key = key != NULL;
    if (key != NULL)
        oat_copy(controller->link.key, key, OAT_KEY_LENGTH);
    controller->path.settings = &controller->settings;
    oat_motors_start(&controller->motors, &controller->settings, &controller->to_motors, now_us);
}

static bool is_live(const struct oat_controller *controller)
{
    return controller->state == OAT_ARMED || controller->state == OAT_HOLDING;
}

void oat_controller_latch(struct oat_controller *controller, enum oat_latch reason)
{
    controller->state = OAT_LATCHED;
    controller->latch = reason;
    oat_path_stop(&controller->path);
}

static void latch_if_live(struct oat_controller *controller, enum oat_latch reason)
{
    if (is_live(controller))
        oat_controller_latch(controller, reason);
}

/* Also says what became of a motor that had been lost. */
static void latch_for_motor(struct oat_controller *controller, enum oat_latch reason)
{
    if (controller->state == OAT_LATCHED && controller->latch == OAT_LATCH_MOTOR_LOST)
        controller->latch = reason;
    latch_if_live(controller, reason);
}

static enum oat_reject judge(struct oat_controller *controller, const struct oat_frame *frame,
                             uint64_t now_us, struct oat_setpoints *setpoints)
{
    if (!is_live(controller))
        return OAT_REJECT_NOT_ARMED;
    if (controller->has_setpoints && !oat_is_after_u16(frame->sequence, controller->accepted))
        return OAT_REJECT_SEQUENCE;
    enum oat_reject reason = oat_check_age(&controller->settings, frame->time_us, now_us);
    if (reason != OAT_REJECT_NONE)
        return reason;
    return oat_check_setpoints(&controller->path, frame, (uint32_t)now_us, setpoints);
}

void oat_controller_setpoints(struct oat_controller *controller, const struct oat_frame *frame,
                              uint64_t now_us)
{
    struct oat_setpoints setpoints;
    enum oat_reject reason = judge(controller, frame, now_us, &setpoints);
    if (reason != OAT_REJECT_NONE) {
        controller->reject = reason;
        controller->rejects++;
        return;
    }
    oat_path_replace(&controller->path, setpoints.knot, setpoints.count, (uint32_t)now_us);
    controller->clamps = (uint8_t)(controller->clamps + setpoints.clamped);
    controller->has_setpoints = true;
    controller->accepted = frame->sequence;
    controller->alive_us = now_us;
    controller->state = OAT_ARMED;
}

/* The command starts where the script has just measured the motors. */
static void seed(struct oat_controller *controller, uint64_t now_us)
{
    int32_t fine_angle[OAT_MAX_JOINTS];
    for (size_t i = 0; i < controller->settings.joints; i++)
        fine_angle[i] = oat_fine_from_ticks(&controller->settings.joint[i],
                                            controller->motors.measured[i].position);
    oat_path_seed(&controller->path, &controller->settings, fine_angle, (uint32_t)now_us);
}

static void end_script(struct oat_controller *controller, uint64_t now_us)
{
    struct oat_request *request = &controller->request;
    static const uint8_t results[] = {
        [OAT_SCRIPT_DONE] = OAT_DONE,
        [OAT_SCRIPT_SILENT] = OAT_MOTOR_SILENT,
        [OAT_SCRIPT_REFUSED] = OAT_MOTOR_REFUSES,
    };
    if (request->result != OAT_IN_PROGRESS)
        return; /* the host that asked is gone */
    request->result = results[controller->motors.end];
    request->detail = request->result == OAT_DONE ? 0 : controller->motors.suspect;
    if (request->type == OAT_ARM && request->result == OAT_DONE) {
        seed(controller, now_us);
        controller->state = OAT_HOLDING;
        controller->latch = OAT_LATCH_NONE;
        controller->alive_us = now_us;
        controller->motors.driving = true;
    }
    oat_controller_answer(controller, now_us);
}

/* Torque that is to stay has its goal repeated in every cycle, so that the watchdogs stay fed. */
static void end_cycle(struct oat_controller *controller, uint64_t now_us)
{
    if (controller->motors.has_fault)
        latch_for_motor(controller, OAT_LATCH_MOTOR_FAULT);
    if (controller->motors.is_limp)
        latch_for_motor(controller, OAT_LATCH_MOTOR_LIMP);
    if (controller->motors.lost_cycles >= OAT_LOST_CYCLES)
        latch_if_live(controller, OAT_LATCH_MOTOR_LOST);
    oat_controller_report(controller, now_us);
}

static void climb_down(struct oat_controller *controller, uint64_t now_us)
{
    if (controller->state == OAT_ARMED && oat_path_is_dry(&controller->path))
        controller->state = OAT_HOLDING;
    uint64_t silence_us = (uint64_t)controller->settings.silence_ms * US_PER_MS;
    if (now_us - controller->alive_us > silence_us)
        latch_if_live(controller, OAT_LATCH_SILENCE);
}

void oat_controller_poll(struct oat_controller *controller, uint64_t now_us)
{
    if (controller->settings.joints == 0)
        return;
    oat_path_run(&controller->path, (uint32_t)now_us);
    climb_down(controller, now_us);
    unsigned events = oat_motors_poll(&controller->motors, controller->path.command, now_us);
    if (events & OAT_MOTORS_SCRIPT_ENDED)
        end_script(controller, now_us);
    if (events & OAT_MOTORS_CYCLE_ENDED)
        end_cycle(controller, now_us);
}

void oat_controller_motor_byte(struct oat_controller *controller, uint8_t byte)
{
    if (controller->settings.joints != 0)
        oat_motors_receive(&controller->motors, byte);
}
