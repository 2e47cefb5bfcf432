"""The commands of `gridproof simulate`."""
