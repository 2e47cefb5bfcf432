"""Ports for access: API keys, sessions and rate limits."""
