"""Handlers for commands on dispatches."""
