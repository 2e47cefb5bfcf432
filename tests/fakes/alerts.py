"""AlertRegistry in memory: the one that fault storms run on."""

from interfaces.simulation.operations import MemoryAlertRegistry


class FakeAlertRegistry(MemoryAlertRegistry):
    """Nothing of its own."""
