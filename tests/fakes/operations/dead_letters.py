"""DeadLetters in memory: those that fault storms run on."""

from tests.simulation.doubles.operations import MemoryDeadLetters


class FakeDeadLetters(MemoryDeadLetters):
    """Nothing of its own."""
