"""Alerts, dead letters and system state in PostgreSQL."""
