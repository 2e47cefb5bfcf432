"""The project worker: keeps the read models and the ledger up to date."""
