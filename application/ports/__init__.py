"""Ports: the protocols that adapters implement, with their data types and errors."""
