#include "settings.h"

#include "crc.h"

#define FLAG_FAST_SYNC 0x01u
#define NOT_A_JOINT 255u
#define MIN_CYCLE_US 500u
#define MAX_MOTOR_ID 252u

static uint32_t crc_of(const struct oat_staging *staging, size_t joints, const uint8_t *commit)
{
    uint32_t crc = OAT_CRC32_START;
    for (size_t i = 0; i < joints; i++)
        crc = oat_crc32_feed(crc, staging->record[i], OAT_JOINT_RECORD);
    return oat_crc32_finish(oat_crc32_feed(crc, commit, OAT_COMMIT_COVERED));
}

static struct oat_joint read_joint(const uint8_t *record)
{
    return (struct oat_joint){
        .motor_id = record[0],
        .follower_id = record[1],
        .direction = (int8_t)record[2],
        .zero = oat_get_i16(record + 4),
        .lowest = oat_get_i16(record + 6),
        .highest = oat_get_i16(record + 8),
        .max_velocity = oat_get_u16(record + 10),
        .max_step = oat_get_u16(record + 12),
        .deceleration = oat_get_u16(record + 14),
    };
}

static bool is_sound(const struct oat_joint *joint)
{
    bool follows = joint->follower_id != OAT_NO_FOLLOWER;
    return joint->motor_id <= MAX_MOTOR_ID && (!follows || joint->follower_id <= MAX_MOTOR_ID) &&
           joint->follower_id != joint->motor_id &&
           (joint->direction == 1 || joint->direction == -1) && joint->lowest < joint->highest &&
           joint->max_velocity > 0 && joint->max_step > 0 && joint->deceleration > 0;
}

static bool is_id_unique(const struct oat_settings *settings, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (settings->joint[i].motor_id == settings->joint[index].motor_id)
            return false;
    return true;
}

static enum oat_settings_verdict read_joints(const struct oat_staging *staging,
                                             struct oat_settings *settings, uint8_t *detail)
{
    for (size_t i = 0; i < settings->joints; i++) {
        settings->joint[i] = read_joint(staging->record[i]);
        *detail = (uint8_t)i;
        if (!is_sound(&settings->joint[i]) || !is_id_unique(settings, i))
            return OAT_SETTINGS_BAD_VALUE;
    }
    *detail = 0;
    return OAT_SETTINGS_GOOD;
}

enum oat_settings_verdict oat_settings_build(const struct oat_staging *staging,
                                             const uint8_t *commit, struct oat_settings *settings,
                                             uint8_t *detail)
{
    *detail = NOT_A_JOINT;
    if (commit[0] == 0 || commit[0] > OAT_MAX_JOINTS)
        return OAT_SETTINGS_BAD_VALUE;
    uint32_t crc = crc_of(staging, commit[0], commit);
    if (crc != oat_get_u32(commit + OAT_COMMIT_COVERED))
        return OAT_SETTINGS_CRC_DIFFERS;
    uint16_t damp_after_ms = oat_get_u16(commit + 10);
    if (damp_after_ms != 0)
        return OAT_SETTINGS_UNSUPPORTED;
    *settings = (struct oat_settings){
        .joints = commit[0],
        .fast_sync = (commit[1] & FLAG_FAST_SYNC) != 0,
        .max_age_ms = oat_get_u16(commit + 2),
        .max_ahead_ms = oat_get_u16(commit + 4),
        .horizon_ms = oat_get_u16(commit + 6),
        .silence_ms = oat_get_u16(commit + 8),
        .watchdog_ms = oat_get_u16(commit + 12),
        .cycle_us = oat_get_u16(commit + 14),
        .crc = crc,
    };
    if (settings->silence_ms == 0 || settings->horizon_ms == 0 || settings->cycle_us < MIN_CYCLE_US)
        return OAT_SETTINGS_BAD_VALUE;
    return read_joints(staging, settings, detail);
}
