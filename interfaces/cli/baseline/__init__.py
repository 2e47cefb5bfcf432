"""The commands of `gridproof baseline`."""
