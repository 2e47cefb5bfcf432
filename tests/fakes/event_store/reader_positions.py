"""ReaderPositions in memory: those that fault storms run on."""

from tests.simulation.doubles.operations import MemoryReaderPositions


class FakeReaderPositions(MemoryReaderPositions):
    """Nothing of its own."""
