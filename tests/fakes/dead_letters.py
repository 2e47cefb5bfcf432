"""DeadLetters in memory: those that fault storms run on."""

from interfaces.simulation.operations import MemoryDeadLetters


class FakeDeadLetters(MemoryDeadLetters):
    """Nothing of its own."""
