"""Parts of commands that work from a readings file; the composition root picks the adapters."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from application.ports.history_import import ReadingsFile
    from application.ports.regression_fitter import RegressionFitter


def open_readings(path: Path, facility_id: str | None = None) -> "ReadingsFile":
    """The readings file at `path`; `facility_id`: whose it is where the file names none."""
    from interfaces.bootstrap import open_readings_file

    return open_readings_file(path, facility_id)


def regression_fitter() -> "RegressionFitter":
    """The fitter of the baseline method `regression`."""
    from interfaces.bootstrap import regression_fitter as picked

    return picked()
