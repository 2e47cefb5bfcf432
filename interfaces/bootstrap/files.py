"""What commands use without a running system: readers of files, the forecaster."""

from pathlib import Path

from application.ports.load_forecaster import LoadForecaster
from application.ports.readings_file import ReadingsFile


def open_readings_file(path: Path) -> ReadingsFile:
    """A reader chosen by the name's ending. Raises ReadingsFileError."""
    from adapters.readings_file import open_readings_file as opened

    return opened(path)


def load_forecaster() -> LoadForecaster:
    from adapters.forecasting import StatsmodelsLoadForecaster

    return StatsmodelsLoadForecaster()
