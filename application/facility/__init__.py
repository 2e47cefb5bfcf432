"""Facilities: the entries of the portfolio file and their validation."""
