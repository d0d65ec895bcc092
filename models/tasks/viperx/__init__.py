"""A ViperX-300 S that lifts a cube: plant, kinematics, task, expert, demonstrations."""
