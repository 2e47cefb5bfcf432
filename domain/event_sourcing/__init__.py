"""Event sourcing: the base classes of aggregates, domain events and snapshots."""
