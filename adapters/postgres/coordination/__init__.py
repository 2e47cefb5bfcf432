"""Locks, call slots and partition assignment among processes, by PostgreSQL advisory locks."""
