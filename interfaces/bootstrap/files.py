"""Readers of files."""

from pathlib import Path

from application.ports.readings_file import ReadingsFile


def open_readings_file(path: Path) -> ReadingsFile:
    """A reader chosen by the name's ending. Raises ReadingsFileError."""
    from adapters.readings_file import open_readings_file as opened

    return opened(path)
