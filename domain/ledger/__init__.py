"""Ledger: entries, checkpoints and the Merkle tree over a log."""
