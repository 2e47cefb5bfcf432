"""The checks of `gridproof doctor`."""
