"""Readings files on disk: CSV, Parquet or Green Button XML, chosen by the extension."""

from pathlib import Path

from adapters.readings_file.csv_file import CsvReadingsFile
from adapters.readings_file.green_button_file import GreenButtonFile
from adapters.readings_file.parquet_file import ParquetReadingsFile
from application.ports.history_import import ReadingsFile, UnknownFileKind, UnreadableFile

__all__ = ["CsvReadingsFile", "GreenButtonFile", "ParquetReadingsFile", "open_readings_file"]


def open_readings_file(path: Path, facility_id: str | None = None) -> ReadingsFile:
    """The file at `path`. All of a Green Button XML belongs to `facility_id`, since it rarely names facilities.

    Raises UnknownFileKind for another extension, UnreadableFile where there is no file.
    """
    kind = path.suffix.lower()
    if kind not in (".csv", ".parquet", ".xml"):
        raise UnknownFileKind(path, None, "is neither .csv nor .parquet nor .xml; rename or convert it")
    if not path.is_file():
        raise UnreadableFile(path, None, "there is no such file")
    if kind == ".xml":
        return GreenButtonFile(path, facility_id)
    return CsvReadingsFile(path) if kind == ".csv" else ParquetReadingsFile(path)
