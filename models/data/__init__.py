"""Recorded demonstrations of other systems, read as what training takes."""
