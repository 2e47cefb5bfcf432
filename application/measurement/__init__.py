"""Measurement of delivered energy against the baseline."""
