"""Ports for the event store: streams, the log and reader positions."""
