/* What CONFIG says about joints and limits (docs/oatlink.md, section 6). */
#ifndef OAT_SETTINGS_H
#define OAT_SETTINGS_H

#include "bytes.h"

#define OAT_MAX_JOINTS 15u
#define OAT_JOINT_RECORD 16u
#define OAT_COMMIT_COVERED 16u /* bytes of the commit that the config CRC covers */
#define OAT_NO_FOLLOWER 255u

struct oat_joint {
    uint8_t motor_id;
    uint8_t follower_id;
    int8_t direction;
    int16_t zero;          /* angle units */
    int16_t lowest;        /* angle units */
    int16_t highest;       /* angle units */
    uint16_t max_velocity; /* velocity units */
    uint16_t max_step;     /* angle units */
    uint16_t deceleration; /* acceleration units */
};

struct oat_settings {
    uint8_t joints; /* 0: nothing committed */
    bool fast_sync;
    uint16_t max_age_ms;
    uint16_t max_ahead_ms;
    uint16_t horizon_ms;
    uint16_t silence_ms;
    uint16_t watchdog_ms;
    uint16_t cycle_us;
    uint32_t crc;
    struct oat_joint joint[OAT_MAX_JOINTS];
};

/* Records as they came, until a commit makes settings of them. */
struct oat_staging {
    uint8_t record[OAT_MAX_JOINTS][OAT_JOINT_RECORD];
};

enum oat_settings_verdict {
    OAT_SETTINGS_GOOD,
    OAT_SETTINGS_BAD_VALUE,
    OAT_SETTINGS_CRC_DIFFERS,
    OAT_SETTINGS_UNSUPPORTED,
};

/* Builds settings from staged records and a commit (its 16 bytes, then the CRC). On any verdict but
 * GOOD, `detail` is the index of the bad joint, or 255. */
enum oat_settings_verdict oat_settings_build(const struct oat_staging *staging,
                                             const uint8_t *commit, struct oat_settings *settings,
                                             uint8_t *detail);

#endif
