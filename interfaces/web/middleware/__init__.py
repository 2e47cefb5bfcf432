"""Middleware of each request: metrics, conditional and stale responses, errors."""
