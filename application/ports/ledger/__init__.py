"""Ports for the ledger: its store and the signer of checkpoints."""
