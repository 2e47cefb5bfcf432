"""Handlers for commands on DR events."""
