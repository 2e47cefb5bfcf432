"""The tamper-evident ledger in PostgreSQL."""
