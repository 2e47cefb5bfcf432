"""Routes of the audit trail, the ledger and proofs, and their documents."""
