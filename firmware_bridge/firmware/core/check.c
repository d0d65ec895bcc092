#include "check.h"

#define HEAD_LENGTH 5u /* counts and first time */
#define US_PER_MS 1000u
#define POSITION_SLACK 8 /* angle units: a host's rounding is clamped, not refused */
#define VELOCITY_SLACK 2 /* angle units: two angles, rounded */
/* angle units · µs of one velocity unit · µs: 4 angle units per velocity unit, 10^6 µs per s */
#define ANGLE_PER_VELOCITY 4u
#define US_PER_S 1000000u

enum oat_reject oat_check_age(const struct oat_settings *settings, uint64_t sent_us,
                              uint64_t now_us)
{
    if (sent_us + (uint64_t)settings->max_age_ms * US_PER_MS < now_us)
        return OAT_REJECT_STALE;
    if (sent_us > now_us + (uint64_t)settings->max_ahead_ms * US_PER_MS)
        return OAT_REJECT_FUTURE;
    return OAT_REJECT_NONE;
}

static enum oat_reject read_knots(const struct oat_settings *settings,
                                  const struct oat_frame *frame, struct oat_setpoints *setpoints)
{
    size_t joints = settings->joints;
    if (frame->body_length < HEAD_LENGTH || (frame->body[0] & 0x0Fu) != joints)
        return OAT_REJECT_SHAPE;
    size_t count = frame->body[0] >> 4;
    if (count == 0 || count > OAT_MAX_FRAME_KNOTS)
        return OAT_REJECT_SHAPE;
    const uint8_t *difference = frame->body + HEAD_LENGTH;
    const uint8_t *angle = difference + 2 * (count - 1);
    if (frame->body_length != HEAD_LENGTH + 2 * (count - 1) + 2 * count * joints)
        return OAT_REJECT_SHAPE;
    uint32_t time_us = oat_get_u32(frame->body + 1);
    for (size_t k = 0; k < count; k++) {
        if (k > 0) {
            uint16_t step_us = oat_get_u16(difference + 2 * (k - 1));
            if (step_us == 0)
                return OAT_REJECT_ORDER;
            time_us += step_us;
        }
        setpoints->knot[k].time_us = time_us;
        for (size_t i = 0; i < joints; i++, angle += 2)
            setpoints->knot[k].angle[i] = oat_get_i16(angle);
    }
    setpoints->count = count;
    setpoints->clamped = false;
    return OAT_REJECT_NONE;
}

static enum oat_reject check_times(const struct oat_settings *settings,
                                   const struct oat_setpoints *setpoints, uint32_t now_us)
{
    uint32_t last_us = setpoints->knot[setpoints->count - 1].time_us;
    if (!oat_is_after_u32(last_us, now_us))
        return OAT_REJECT_LATE;
    if (last_us - now_us > (uint32_t)settings->horizon_ms * US_PER_MS)
        return OAT_REJECT_HORIZON;
    return OAT_REJECT_NONE;
}

static enum oat_reject check_position(const struct oat_settings *settings,
                                      struct oat_setpoints *setpoints)
{
    for (size_t k = 0; k < setpoints->count; k++)
        for (size_t i = 0; i < settings->joints; i++) {
            const struct oat_joint *joint = &settings->joint[i];
            int16_t *angle = &setpoints->knot[k].angle[i];
            if (*angle < joint->lowest - POSITION_SLACK || *angle > joint->highest + POSITION_SLACK)
                return OAT_REJECT_POSITION;
            int16_t inside = *angle < joint->lowest    ? joint->lowest
                             : *angle > joint->highest ? joint->highest
                                                       : *angle;
            setpoints->clamped |= inside != *angle;
            *angle = inside;
        }
    return OAT_REJECT_NONE;
}

static uint32_t distance(int32_t a, int32_t b)
{
    return a > b ? (uint32_t)a - (uint32_t)b : (uint32_t)b - (uint32_t)a;
}

static bool is_reachable(const struct oat_joint *joint, uint32_t way, uint32_t duration_us)
{
    uint64_t budget = (uint64_t)joint->max_velocity * ANGLE_PER_VELOCITY * duration_us;
    return (uint64_t)way * US_PER_S <= budget + (uint64_t)VELOCITY_SLACK * US_PER_S;
}

static enum oat_reject check_pair(const struct oat_settings *settings, const struct oat_knot *from,
                                  const struct oat_knot *to)
{
    for (size_t i = 0; i < settings->joints; i++) {
        uint32_t way = distance(from->angle[i], to->angle[i]);
        if (way > settings->joint[i].max_step)
            return OAT_REJECT_STEP;
        if (!is_reachable(&settings->joint[i], way, to->time_us - from->time_us))
            return OAT_REJECT_VELOCITY;
    }
    return OAT_REJECT_NONE;
}

/* From the present command to the first future knot: the 1 kHz limit bounds how fast that goes. */
static enum oat_reject check_join(const struct oat_path *path,
                                  const struct oat_setpoints *setpoints, uint32_t now_us)
{
    size_t first = 0;
    while (!oat_is_after_u32(setpoints->knot[first].time_us, now_us))
        first++;
    for (size_t i = 0; i < path->settings->joints; i++) {
        int32_t to = oat_fine(setpoints->knot[first].angle[i]);
        uint32_t way = distance(path->command[i], to) >> OAT_FINE_BITS;
        if (way > path->settings->joint[i].max_step)
            return OAT_REJECT_STEP;
    }
    return OAT_REJECT_NONE;
}

static enum oat_reject check_motion(const struct oat_path *path,
                                    const struct oat_setpoints *setpoints, uint32_t now_us)
{
    enum oat_reject reason = OAT_REJECT_NONE;
    for (size_t k = 1; k < setpoints->count && reason == OAT_REJECT_NONE; k++)
        reason = check_pair(path->settings, &setpoints->knot[k - 1], &setpoints->knot[k]);
    if (reason != OAT_REJECT_NONE)
        return reason;
    const struct oat_knot *before = oat_path_before(path, setpoints->knot[0].time_us);
    if (before != NULL)
        return check_pair(path->settings, before, &setpoints->knot[0]);
    return check_join(path, setpoints, now_us);
}

enum oat_reject oat_check_setpoints(const struct oat_path *path, const struct oat_frame *frame,
                                    uint32_t now_us, struct oat_setpoints *setpoints)
{
    enum oat_reject reason = read_knots(path->settings, frame, setpoints);
    if (reason == OAT_REJECT_NONE)
        reason = check_times(path->settings, setpoints, now_us);
    if (reason == OAT_REJECT_NONE)
        reason = check_position(path->settings, setpoints);
    if (reason == OAT_REJECT_NONE)
        reason = check_motion(path, setpoints, now_us);
    if (reason != OAT_REJECT_NONE)
        return reason;
    size_t kept = oat_path_kept(path, setpoints->knot[0].time_us);
    return kept + setpoints->count > OAT_QUEUE_KNOTS ? OAT_REJECT_FULL : OAT_REJECT_NONE;
}
