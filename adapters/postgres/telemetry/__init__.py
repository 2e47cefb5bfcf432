"""The telemetry store on PostgreSQL."""
