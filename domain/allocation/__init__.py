"""Allocation: how a target is divided among facilities and zones."""
