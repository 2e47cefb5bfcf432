"""The event store on PostgreSQL, on top of the eventsourcing library."""
