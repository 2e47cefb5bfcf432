"""The worker that watches: callbacks to utilities, and the monitors, of which one is active per system."""
