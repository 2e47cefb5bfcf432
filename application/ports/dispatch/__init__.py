"""Ports for dispatch: building control, call slots, open work and what it asks for."""
