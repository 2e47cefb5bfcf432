"""AlertRegistry in memory: the one that fault storms run on."""

from tests.simulation.doubles.operations import MemoryAlertRegistry


class FakeAlertRegistry(MemoryAlertRegistry):
    """Nothing of its own."""
