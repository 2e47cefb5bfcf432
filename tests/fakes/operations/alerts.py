"""AlertRegistry in memory: that of the fault simulation."""

from tests.simulation.doubles.operations import MemoryAlertRegistry


class FakeAlertRegistry(MemoryAlertRegistry):
    """Adds nothing."""
