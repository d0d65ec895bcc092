"""The doctor: what of this machine stands in the way of a punctual robot, and how to mend it."""
