"""`gridproof backup` and `gridproof restore`."""
