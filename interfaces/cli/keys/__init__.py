"""The commands of `gridproof keys`."""
