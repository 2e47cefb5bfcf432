"""DeadLetters in memory: those of the fault simulation."""

from tests.simulation.doubles.operations import MemoryDeadLetters


class FakeDeadLetters(MemoryDeadLetters):
    """Adds nothing."""
