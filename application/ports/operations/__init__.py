"""Ports for operations: alerts, dead letters and system state."""
