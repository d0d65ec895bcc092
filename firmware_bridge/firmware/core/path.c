#include "path.h"

#define MAX_CATCH_UP_US 20000u
#define FRACTION_BITS 16u
/* Fine angles per tick of one velocity unit: 2^24 rad / 2^10 / 1000 ticks, in 1/65536. */
#define FINE_PER_VELOCITY_Q16 1073742u
/* Fine angles per tick and tick of one acceleration unit: 2^24 rad / 2^4 / 10^6, in 1/65536. */
#define FINE_PER_ACCELERATION_Q16 68719u
#define LIMIT_MARGIN_SHIFT 3u       /* the command may run one part in eight faster, to catch up */
#define MOVING_FINE_PER_TICK 350    /* 0.02 rad/s: slower than that, an empty queue harms nobody */

static struct oat_knot *queued(struct oat_path *path, size_t index)
{
    return &path->knot[(path->first + index) % OAT_QUEUE_KNOTS];
}

static int32_t clamp(int32_t value, int32_t low, int32_t high)
{
    return value < low ? low : value > high ? high : value;
}

static int32_t scale_q16(uint32_t units, uint32_t factor_q16)
{
    return (int32_t)((uint64_t)units * factor_q16 >> 16);
}

/* elapsed / duration in 1/65536, at most 1, by 32-bit division alone. */
static uint32_t fraction_q16(uint32_t elapsed, uint32_t duration)
{
    while (duration > UINT16_MAX) {
        duration >>= 1;
        elapsed >>= 1;
    }
    if (duration == 0 || elapsed >= duration)
        return 1u << FRACTION_BITS;
    return (elapsed << FRACTION_BITS) / duration;
}

void oat_path_seed(struct oat_path *path, const struct oat_settings *settings,
                   const int32_t *fine_angle, uint32_t now_us)
{
    path->settings = settings;
    path->tick_us = now_us;
    path->first = path->count = 0;
    path->following = false;
    for (size_t i = 0; i < settings->joints; i++) {
        path->command[i] = path->anchor[i] = fine_angle[i];
        path->velocity[i] = 0;
    }
}

/* One joint's move of this tick towards `target`, within its limits; true if it had to be limited. */
static bool move(struct oat_path *path, size_t i, int32_t target)
{
    const struct oat_joint *joint = &path->settings->joint[i];
    int32_t fastest = scale_q16(joint->max_velocity, FINE_PER_VELOCITY_Q16);
    fastest += (fastest >> LIMIT_MARGIN_SHIFT) + 1;
    int32_t before = path->command[i];
    int32_t step = clamp(target - before, -fastest, fastest);
    int32_t low = oat_fine(joint->lowest), high = oat_fine(joint->highest);
    /* An arm that was seeded outside its limits may come back, and go no further out. */
    int32_t after = clamp(before + step, before < low ? before : low, before > high ? before : high);
    path->command[i] = after;
    path->velocity[i] = after - before;
    return after != target;
}

static void follow(struct oat_path *path)
{
    const struct oat_knot *next = queued(path, 0);
    uint32_t fraction = fraction_q16(path->tick_us - path->anchor_us, next->time_us - path->anchor_us);
    bool limited = false;
    for (size_t i = 0; i < path->settings->joints; i++) {
        int64_t way = (int64_t)oat_fine(next->angle[i]) - path->anchor[i];
        int32_t target = path->anchor[i] + (int32_t)(way * fraction >> FRACTION_BITS);
        limited |= move(path, i, target);
    }
    path->clamps = (uint8_t)(path->clamps + limited);
}

static void brake(struct oat_path *path)
{
    for (size_t i = 0; i < path->settings->joints; i++) {
        int32_t less = scale_q16(path->settings->joint[i].deceleration, FINE_PER_ACCELERATION_Q16);
        int32_t velocity = path->velocity[i];
        velocity = velocity > 0 ? (velocity > less ? velocity - less : 0)
                                : (velocity < -less ? velocity + less : 0);
        (void)move(path, i, path->command[i] + velocity);
    }
}

static bool is_moving(const struct oat_path *path)
{
    for (size_t i = 0; i < path->settings->joints; i++)
        if (path->velocity[i] > MOVING_FINE_PER_TICK || path->velocity[i] < -MOVING_FINE_PER_TICK)
            return true;
    return false;
}

/* Passes every knot whose time has come; the queue may run dry by it. */
static void pass_knots(struct oat_path *path)
{
    while (path->count > 0 && !oat_is_after_u32(queued(path, 0)->time_us, path->tick_us)) {
        const struct oat_knot *passed = queued(path, 0);
        path->anchor_us = passed->time_us;
        for (size_t i = 0; i < path->settings->joints; i++)
            path->anchor[i] = oat_fine(passed->angle[i]);
        path->first = (uint8_t)((path->first + 1u) % OAT_QUEUE_KNOTS);
        path->count--;
    }
    if (path->count == 0 && path->following) {
        path->following = false;
        path->underruns = (uint8_t)(path->underruns + is_moving(path));
    }
}

static void tick(struct oat_path *path)
{
    path->tick_us += OAT_TICK_US;
    pass_knots(path);
    if (path->following)
        follow(path);
    else
        brake(path);
}

void oat_path_run(struct oat_path *path, uint32_t now_us)
{
    if (now_us - path->tick_us > MAX_CATCH_UP_US)
        path->tick_us = now_us - OAT_TICK_US; /* stalled: the velocity limit bounds what follows */
    while (now_us - path->tick_us >= OAT_TICK_US)
        tick(path);
}

size_t oat_path_kept(const struct oat_path *path, uint32_t time_us)
{
    size_t kept = 0;
    while (kept < path->count &&
           oat_is_after_u32(time_us, path->knot[(path->first + kept) % OAT_QUEUE_KNOTS].time_us))
        kept++;
    return kept;
}

const struct oat_knot *oat_path_before(const struct oat_path *path, uint32_t time_us)
{
    size_t kept = oat_path_kept(path, time_us);
    return kept == 0 ? NULL : &path->knot[(path->first + kept - 1u) % OAT_QUEUE_KNOTS];
}

void oat_path_replace(struct oat_path *path, const struct oat_knot *knot, size_t count,
                      uint32_t now_us)
{
    path->count = (uint8_t)oat_path_kept(path, knot[0].time_us);
    if (path->count == 0) {
        path->anchor_us = path->tick_us;
        for (size_t i = 0; i < path->settings->joints; i++)
            path->anchor[i] = path->command[i];
    }
    for (size_t i = 0; i < count; i++)
        if (oat_is_after_u32(knot[i].time_us, now_us))
            *queued(path, path->count++) = knot[i];
    path->following = true;
}

void oat_path_stop(struct oat_path *path)
{
    path->count = 0;
    path->following = false;
}
