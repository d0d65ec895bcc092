"""Benchmarks that others build and that are only adapted here: RoboMimic, LIBERO, RoboCasa.

Their demonstrations are the user's, their references are the actions that were recorded, and their
observations are what the environment says of itself, under the names that the recordings use.
"""
