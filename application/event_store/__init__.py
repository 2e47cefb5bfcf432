"""Event store applications: aggregates, mapping, snapshots, upcasters and save limits."""
