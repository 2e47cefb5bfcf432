"""The commands of `gridproof facilities`."""
