"""Devices that answer byte for byte like the real ones, in front of any plant."""
