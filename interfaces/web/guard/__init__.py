"""Admission of requests: access and query validation."""
