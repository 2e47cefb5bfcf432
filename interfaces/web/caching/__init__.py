"""Caches and coalescing of reads."""
