"""Routes of DR events."""
