"""Ports for weather: the source and the call quota."""
