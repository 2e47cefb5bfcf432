"""Rollups of quarter-hours: computation, finalization and queries."""
