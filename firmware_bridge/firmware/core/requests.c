/* CONFIG, ARM, DISARM, ESTOP: each done once, answered as often as asked. */
#include "requests.h"

#define COMMIT_INDEX 255u
#define REQUEST_WINDOW_US 1000000u

static void conclude(struct oat_controller *controller, enum oat_result result, uint8_t detail)
{
    controller->request.result = (uint8_t)result;
    controller->request.detail = detail;
}

static bool may_configure(const struct oat_controller *controller)
{
    return controller->state == OAT_DISARMED || controller->state == OAT_LATCHED;
}

static void commit(struct oat_controller *controller, const uint8_t *record, uint64_t now_us)
{
    static const enum oat_result results[] = {
        [OAT_SETTINGS_GOOD] = OAT_DONE,
        [OAT_SETTINGS_BAD_VALUE] = OAT_BAD_VALUE,
        [OAT_SETTINGS_CRC_DIFFERS] = OAT_CONFIG_DIFFERS,
        [OAT_SETTINGS_UNSUPPORTED] = OAT_UNSUPPORTED,
    };
    struct oat_settings built;
    uint8_t detail;
    enum oat_settings_verdict verdict =
        oat_settings_build(&controller->staging, record, &built, &detail);
    bool is_same = controller->settings.joints != 0 && built.crc == controller->settings.crc;
    if (verdict != OAT_SETTINGS_GOOD || is_same) {
        conclude(controller, results[verdict], detail);
        return;
    }
    if (controller->state != OAT_DISARMED) {
        conclude(controller, OAT_WRONG_STATE, 0); /* a held arm keeps its limits */
        return;
    }
    static const int32_t nowhere[OAT_MAX_JOINTS];
    controller->settings = built;
    oat_path_seed(&controller->path, &controller->settings, nowhere, (uint32_t)now_us);
    oat_motors_start(&controller->motors, &controller->settings, &controller->to_motors, now_us);
    conclude(controller, OAT_DONE, 0);
}

static void configure(struct oat_controller *controller, const struct oat_frame *frame,
                      uint64_t now_us)
{
    const uint8_t *body = frame->body;
    bool is_commit = frame->body_length == 1 + OAT_COMMIT_COVERED + 4 && body[0] == COMMIT_INDEX;
    bool is_joint = frame->body_length == 1 + OAT_JOINT_RECORD && body[0] < OAT_MAX_JOINTS;
    if (!may_configure(controller)) {
        conclude(controller, OAT_WRONG_STATE, 0);
    } else if (is_joint) {
        oat_copy(controller->staging.record[body[0]], body + 1, OAT_JOINT_RECORD);
        conclude(controller, OAT_DONE, 0);
    } else if (is_commit) {
        commit(controller, body + 1, now_us);
    } else {
        conclude(controller, OAT_BAD_VALUE, COMMIT_INDEX);
    }
}

static void arm(struct oat_controller *controller, const struct oat_frame *frame)
{
    bool may = controller->state == OAT_DISARMED ||
               (controller->state == OAT_LATCHED && controller->latch != OAT_LATCH_ESTOP);
    if (!may) {
        conclude(controller, OAT_WRONG_STATE, 0);
    } else if (controller->settings.joints == 0 || frame->body_length != 4 ||
               oat_get_u32(frame->body) != controller->settings.crc) {
        conclude(controller, OAT_CONFIG_DIFFERS, 0);
    } else {
        oat_motors_run(&controller->motors, OAT_SCRIPT_ARM);
        conclude(controller, OAT_IN_PROGRESS, 0);
    }
}

static void release(struct oat_controller *controller)
{
    controller->motors.driving = false;
    oat_path_stop(&controller->path);
    if (controller->settings.joints == 0) {
        conclude(controller, OAT_DONE, 0);
        return;
    }
    oat_motors_run(&controller->motors, OAT_SCRIPT_RELEASE);
    conclude(controller, OAT_IN_PROGRESS, 0);
}

static void execute(struct oat_controller *controller, const struct oat_frame *frame,
                    uint64_t now_us)
{
    bool is_busy = controller->motors.script != OAT_SCRIPT_NONE;
    if (is_busy && (frame->type == OAT_CONFIG || frame->type == OAT_ARM)) {
        conclude(controller, OAT_BUSY, 0);
    } else if (frame->type == OAT_CONFIG) {
        configure(controller, frame, now_us);
    } else if (frame->type == OAT_ARM) {
        arm(controller, frame);
    } else if (frame->type == OAT_DISARM) {
        controller->state = OAT_DISARMED;
        controller->latch = OAT_LATCH_NONE;
        release(controller);
    } else {
        oat_controller_latch(controller, OAT_LATCH_ESTOP);
        release(controller);
    }
}

static bool is_timely(const struct oat_controller *controller, const struct oat_frame *frame,
                      uint64_t now_us)
{
    if (frame->type == OAT_ESTOP && !controller->link.has_key)
        return true;
    uint64_t apart_us =
        frame->time_us > now_us ? frame->time_us - now_us : now_us - frame->time_us;
    return apart_us <= REQUEST_WINDOW_US;
}

void oat_controller_answer(struct oat_controller *controller, uint64_t now_us)
{
    const struct oat_request *request = &controller->request;
    uint8_t body[5];
    uint8_t *at = oat_put_u8(body, request->type);
    at = oat_put_u8(at, request->result);
    at = oat_put_u16(at, request->sequence);
    (void)oat_put_u8(at, request->detail);
    oat_controller_send(controller, OAT_ACK, body, sizeof body, now_us);
}

void oat_controller_request(struct oat_controller *controller, const struct oat_frame *frame,
                            uint64_t now_us)
{
    struct oat_request *request = &controller->request;
    if (!is_timely(controller, frame, now_us))
        return;
    bool is_repeat = request->known && frame->sequence == request->sequence;
    if (request->known && !is_repeat && !oat_is_after_u16(frame->sequence, request->sequence))
        return;
    if (!is_repeat) {
        request->known = true;
        request->type = frame->type;
        request->sequence = frame->sequence;
        execute(controller, frame, now_us);
    }
    oat_controller_answer(controller, now_us);
}
