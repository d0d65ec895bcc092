"""A CPU engine that runs a bundle's graphs as one call into compiled code.

The graphs are so small that a library for graphs of any size spends most of a stage between their
operations: about a microsecond each, and a cache full of code. Here a graph becomes a flat list of
operations on memory laid out beforehand (``lowering``), run by a few hundred lines of C
(``execute.c``) that touch little but the weights, which stay as narrow as the bundle has them.
"""
