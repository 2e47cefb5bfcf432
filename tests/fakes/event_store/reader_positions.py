"""ReaderPositions in memory: those of the fault simulation."""

from tests.simulation.doubles.operations import MemoryReaderPositions


class FakeReaderPositions(MemoryReaderPositions):
    """Adds nothing."""
