"""Ports of settlement."""
