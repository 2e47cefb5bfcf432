"""Simulated buildings and the SOAP servers of their BMSs."""
