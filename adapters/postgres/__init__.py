"""Adapters that use PostgreSQL."""
