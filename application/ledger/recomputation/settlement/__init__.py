"""Recomputation of the settlements in a proof, from its terms, DR event and measurements (ADR 0085)."""
