"""Combination of concurrent reads and writes into shared round trips."""
