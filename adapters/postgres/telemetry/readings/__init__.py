"""Meter readings in PostgreSQL: chunks, the buffer of single readings, and queries."""
