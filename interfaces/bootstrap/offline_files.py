"""What commands use without a running system: readers of files, the forecaster."""

from pathlib import Path

from application.ports.forecast.load_forecaster import LoadForecaster
from application.ports.forecast.rolling_forecasts import RollingForecasts
from application.ports.history_import import ReadingsFile


def open_readings_file(path: Path, facility_id: str | None = None) -> ReadingsFile:
    """A reader chosen by the name's ending; Green Button XML is all of `facility_id`. Raises ReadingsFileError."""
    from adapters.readings_file import open_readings_file as opened

    return opened(path, facility_id)


def load_forecaster() -> LoadForecaster:
    from adapters.forecasting import BatchedLoadForecaster

    return BatchedLoadForecaster()


def rolling_forecasts() -> RollingForecasts:
    from adapters.forecasting import BatchedRollingForecasts

    return BatchedRollingForecasts()
