"""The read model of the portfolio."""
