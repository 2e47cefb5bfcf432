"""Wiring of backups of the embedded PostgreSQL, and of what follows from a restore."""
