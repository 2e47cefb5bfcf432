"""Ingest of meter messages: parsing, batching and limits for malformed messages."""
