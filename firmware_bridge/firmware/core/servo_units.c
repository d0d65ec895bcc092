#include "servo_units.h"

#include "path.h"

#define CENTRE_TICKS 2048
#define MAX_TICKS 20000                  /* beyond this a multi-turn angle leaves our range anyway */
#define FINE_PER_TICK_Q12 105414357      /* 2 pi / 4096 · 2^24 */
#define TICKS_PER_FINE_Q40 42722830      /* 4096 / 2 pi / 2^24 · 2^40 */
#define VELOCITY_PER_UNIT_Q16 1609326    /* 0.229 · 2 pi / 60 · 1024 */
#define MA_PER_UNIT_Q16 176292           /* 2.69 */

static int32_t clamp(int64_t value, int32_t low, int32_t high)
{
    return (int32_t)(value < low ? low : value > high ? high : value);
}

static int64_t rounded_shift(int64_t value, unsigned bits)
{
    return (value + ((int64_t)1 << (bits - 1))) >> bits;
}

int32_t oat_fine_from_ticks(const struct oat_joint *joint, int32_t ticks)
{
    int32_t turned = clamp((int64_t)ticks - CENTRE_TICKS, -MAX_TICKS, MAX_TICKS);
    int64_t fine = rounded_shift((int64_t)turned * FINE_PER_TICK_Q12, 12);
    return (int32_t)(joint->direction * fine) + oat_fine(joint->zero);
}

int32_t oat_ticks_from_fine(const struct oat_joint *joint, int32_t fine_angle)
{
    int64_t motor = (int64_t)joint->direction * ((int64_t)fine_angle - oat_fine(joint->zero));
    return CENTRE_TICKS + (int32_t)rounded_shift(motor * TICKS_PER_FINE_Q40, 40);
}

int16_t oat_velocity_from_servo(const struct oat_joint *joint, int32_t units)
{
    int64_t velocity = rounded_shift((int64_t)units * VELOCITY_PER_UNIT_Q16, 16);
    return (int16_t)clamp(joint->direction * velocity, INT16_MIN, INT16_MAX);
}

int16_t oat_ma_from_servo(const struct oat_joint *joint, int16_t units)
{
    int64_t current = rounded_shift((int64_t)units * MA_PER_UNIT_Q16, 16);
    return (int16_t)clamp(joint->direction * current, INT16_MIN, INT16_MAX);
}

int16_t oat_angle_from_fine(int32_t fine_angle)
{
    return (int16_t)clamp(rounded_shift(fine_angle, OAT_FINE_BITS), INT16_MIN, INT16_MAX);
}
