"""Routes of what an operator sets up: programs, entries of the portfolio and keys."""
