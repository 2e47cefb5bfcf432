"""Audit: the audit trail, descriptions of domain events, and the replay of a DR event."""
