"""The domain: aggregates, their domain events, and the rules of demand response. Pure Python without I/O."""
