"""Comparison of baseline methods on days without a DR event, where the meter says what a baseline should have been."""
