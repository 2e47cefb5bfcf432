"""Backups of the embedded PostgreSQL by its own programs, and the restore of one to a moment (ADR 0099)."""
