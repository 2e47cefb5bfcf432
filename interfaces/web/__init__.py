"""The HTTP edge: API, dashboard and live stream."""
