"""The schedule worker: proposes due commands, and runs the monitors of which one is active per system."""
