"""The commands of `gridproof forecast`."""
