"""An SO-101 that lifts a cube: plant, task, expert."""
