"""The simulated outside world: buildings, meters, a weather service and a utility."""
