"""Loops and helpers that several workers share."""
