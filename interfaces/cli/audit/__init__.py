"""The commands of `gridproof audit`."""
