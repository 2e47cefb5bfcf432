"""Ports for dispatch: building control, call slots and the work queue."""
