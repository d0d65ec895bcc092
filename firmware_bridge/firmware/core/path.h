/* The queue of knots, and the command that moves along it at 1 kHz. */
#ifndef OAT_PATH_H
#define OAT_PATH_H

#include "settings.h"

#define OAT_TICK_US 1000u
#define OAT_QUEUE_KNOTS 32u
#define OAT_FINE_BITS 12u /* a fine angle is 2^-12 of an angle unit, 2^-24 rad */

struct oat_knot {
    uint32_t time_us;
    int16_t angle[OAT_MAX_JOINTS]; /* angle units */
};

struct oat_path {
    const struct oat_settings *settings;
    uint32_t tick_us; /* when the command was last computed */
    struct oat_knot knot[OAT_QUEUE_KNOTS];
    uint8_t first;
    uint8_t count;
    bool following; /* false: braking or standing */
    uint32_t anchor_us; /* where the running segment begins */
    int32_t anchor[OAT_MAX_JOINTS];
    int32_t command[OAT_MAX_JOINTS];  /* fine angles */
    int32_t velocity[OAT_MAX_JOINTS]; /* fine angles per tick */
    uint8_t underruns;
    uint8_t clamps;
};

/* Stands at these angles with an empty queue. */
void oat_path_seed(struct oat_path *path, const struct oat_settings *settings,
                   const int32_t *fine_angle, uint32_t now_us);

/* Computes the command up to now; skips what lies further back than a few ticks. */
void oat_path_run(struct oat_path *path, uint32_t now_us);

/* Replaces everything from knot[0] on; knots whose time has passed are left out. They must have been
 * checked (check.h). */
void oat_path_replace(struct oat_path *path, const struct oat_knot *knot, size_t count,
                      uint32_t now_us);

/* Drops the queue and brakes. */
void oat_path_stop(struct oat_path *path);

/* The queued knot before `time_us` that stays when one with that time comes; NULL: none does. */
const struct oat_knot *oat_path_before(const struct oat_path *path, uint32_t time_us);

/* Queued knots before `time_us`. */
size_t oat_path_kept(const struct oat_path *path, uint32_t time_us);

static inline bool oat_path_is_dry(const struct oat_path *path)
{
    return !path->following;
}

static inline int32_t oat_fine(int16_t angle)
{
    return (int32_t)angle * (1 << OAT_FINE_BITS);
}

#endif
