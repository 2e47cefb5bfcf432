"""The simulated climate and weather services."""
