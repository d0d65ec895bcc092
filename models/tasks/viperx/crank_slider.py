"""The gripper's crank and slider: the servo's angle to half the opening of the fingers, and back.

The servo turns a horn of radius r; a rod of length l pushes each finger along a rail:
``opening = r sin(a) + sqrt(l^2 - (r cos(a))^2)``. Radius and length are the vendor's.
"""

import math

HORN_RADIUS_M = 0.022
ROD_LENGTH_M = 0.036
CLOSED_RAD = -0.62
OPEN_RAD = 1.49


def half_opening_m(servo_rad: float) -> float:
    """Distance of each finger from the centre line, in m, at a servo angle in rad."""
    along = HORN_RADIUS_M * math.sin(servo_rad)
    across = HORN_RADIUS_M * math.cos(servo_rad)
    return along + math.sqrt(ROD_LENGTH_M**2 - across**2)


def servo_angle_rad(half_opening: float) -> float:
    """Inverse of `half_opening_m`; raises ValueError outside what the mechanism can reach."""
    sine = (half_opening**2 + HORN_RADIUS_M**2 - ROD_LENGTH_M**2) / (
        2 * HORN_RADIUS_M * half_opening
    )
    if not -1.0 <= sine <= 1.0:
        raise ValueError(f"half opening {half_opening:.4f} m is out of the crank's reach")
    return math.asin(sine)
