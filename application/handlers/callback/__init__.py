"""Handlers for callbacks to utilities."""
