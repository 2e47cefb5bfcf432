"""ReaderPositions in memory: those that fault storms run on."""

from interfaces.simulation.operations import MemoryReaderPositions


class FakeReaderPositions(MemoryReaderPositions):
    """Nothing of its own."""
