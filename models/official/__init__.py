"""Checkpoints of the official OAT implementation, read as data: nothing in them is executed."""
