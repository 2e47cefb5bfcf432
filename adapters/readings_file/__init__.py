"""Readings files on disk, CSV or Parquet by the name's ending."""

from pathlib import Path

from adapters.readings_file.csv_file import CsvReadingsFile
from adapters.readings_file.parquet_file import ParquetReadingsFile
from application.ports.readings_file import ReadingsFile, UnknownFileKind, UnreadableFile

__all__ = ["CsvReadingsFile", "ParquetReadingsFile", "open_readings_file"]


def open_readings_file(path: Path) -> ReadingsFile:
    """The file at `path`. Raises UnknownFileKind for another ending, UnreadableFile where there is no file."""
    kind = path.suffix.lower()
    if kind not in (".csv", ".parquet"):
        raise UnknownFileKind(path, None, "is neither .csv nor .parquet; rename or convert it")
    if not path.is_file():
        raise UnreadableFile(path, None, "there is no such file")
    return CsvReadingsFile(path) if kind == ".csv" else ParquetReadingsFile(path)
