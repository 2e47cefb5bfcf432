"""Recomputation of the measurements in a proof, from its terms, calendars and readings alone (ADR 0075)."""
