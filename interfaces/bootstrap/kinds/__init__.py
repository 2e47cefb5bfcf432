"""How each kind of process runs: a module for each, found by the kind's name (application/operations/process_kinds.py).

A process loads the module of its own kind alone, so these modules import what they wire at their top.
"""
