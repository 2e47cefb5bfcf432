"""Wiring of what tells that a process works: its probes, messages about alerts, and monitors of work without an end."""
