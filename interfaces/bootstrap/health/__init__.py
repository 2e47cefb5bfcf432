"""Wiring of what tells that a process works: its probes, and the messages about alerts."""
