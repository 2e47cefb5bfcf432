"""API keys and sessions in PostgreSQL."""
