"""Sealing of readings: records the digests of the quarter-hour values that measurements can use (ADR 0075)."""
