"""The telemetry store on InfluxDB 1.8, 2.x and 3.x: readings, rollups, imported history."""
