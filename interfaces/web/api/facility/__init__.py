"""Routes of facilities."""
