/* What a SETPOINTS must satisfy before its knots are queued (docs/oatlink.md, section 5). */
#ifndef OAT_CHECK_H
#define OAT_CHECK_H

#include "path.h"
#include "wire.h"

#define OAT_MAX_FRAME_KNOTS 4u

enum oat_reject {
    OAT_REJECT_NONE = 0,
    OAT_REJECT_NOT_ARMED = 1,
    OAT_REJECT_SEQUENCE = 2,
    OAT_REJECT_STALE = 3,
    OAT_REJECT_FUTURE = 4,
    OAT_REJECT_SHAPE = 5,
    OAT_REJECT_ORDER = 6,
    OAT_REJECT_LATE = 7,
    OAT_REJECT_HORIZON = 8,
    OAT_REJECT_POSITION = 9,
    OAT_REJECT_STEP = 10,
    OAT_REJECT_VELOCITY = 11,
    OAT_REJECT_FULL = 12,
};

struct oat_setpoints {
    struct oat_knot knot[OAT_MAX_FRAME_KNOTS];
    size_t count;
    bool clamped; /* an angle was a trifle outside its limits and is now on them */
};

/* Was it sent at a moment that fits our clock? */
enum oat_reject oat_check_age(const struct oat_settings *settings, uint64_t sent_us,
                              uint64_t now_us);

/* Reads and checks the knots of a frame against limits and the path they would join. */
enum oat_reject oat_check_setpoints(const struct oat_path *path, const struct oat_frame *frame,
                                    uint32_t now_us, struct oat_setpoints *setpoints);

#endif
