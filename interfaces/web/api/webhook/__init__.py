"""The webhook of utilities."""
