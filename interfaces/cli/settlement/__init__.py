"""The commands of `gridproof settlement`."""
