"""The ledger: sealing, checkpoints, proofs and verification of the event logs."""
