"""Rebuild of a read model into a new partition, and verification of its rows."""
