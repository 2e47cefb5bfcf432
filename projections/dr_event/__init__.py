"""The read model of DR events."""
