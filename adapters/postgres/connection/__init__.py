"""Connections to PostgreSQL: pools, pipelined statements and error translation."""
