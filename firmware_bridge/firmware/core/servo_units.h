/* Dynamixel ticks and units to and from ours (e-manual, X series). All rounding is to nearest. */
#ifndef OAT_SERVO_UNITS_H
#define OAT_SERVO_UNITS_H

#include "settings.h"

/* A motor's angle in ticks of 1/4096 turn, centre 2048, as a fine angle of its joint. */
int32_t oat_fine_from_ticks(const struct oat_joint *joint, int32_t ticks);
int32_t oat_ticks_from_fine(const struct oat_joint *joint, int32_t fine_angle);

/* Velocity units (1/1024 rad/s) from 0.229 rev/min; mA from 2.69 mA. */
int16_t oat_velocity_from_servo(const struct oat_joint *joint, int32_t units);
int16_t oat_ma_from_servo(const struct oat_joint *joint, int16_t units);

/* Fine angle to the nearest angle unit, saturated. */
int16_t oat_angle_from_fine(int32_t fine_angle);

#endif
