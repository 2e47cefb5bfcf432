"""Reads of settlements, for HTTP and the command line."""
