"""Sagas: the commands that follow from domain events."""
