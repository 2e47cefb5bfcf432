"""Routes of settlements in money."""
