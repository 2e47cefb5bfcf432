"""Writes readings files, CSV or Parquet by their names, in columns that `telemetry import` and `baseline compute` read.

Numbers are written with all of their digits, so that what is read back is the same double.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import numpy as np

from domain.time_series.windows import FloatArray, IntervalSeries
from interfaces.cli.console.atomic_files import UnfinishedFile, converted_os_errors, publish

COLUMNS = ("facility", "timestamp", "load_kwh", "temp_c")
Write = Callable[[str, IntervalSeries, FloatArray], None]
"""Its arguments are the facility, its load (mean kW), and the outdoor temperature of the same steps."""


@contextmanager
def readings_file(path: Path) -> Iterator[Write]:
    """A new file, which appears under its name when the block ends without an error.

    Raises FileAlreadyExists or FileNotWritten, and KeyError for another extension than those of FORMS.
    """
    form = ExitStack()
    with UnfinishedFile(path) as file:
        with converted_os_errors(path):
            write_form = form.enter_context(FORMS[path.suffix.lower()](file.file))

        def write(facility_id: str, load_kw: IntervalSeries, temp_c: FloatArray) -> None:
            with converted_os_errors(path):
                write_form(facility_id, load_kw, temp_c)

        try:
            yield write
        except BaseException:
            with suppress(OSError):  # the file is discarded anyway
                form.close()
            raise
        with converted_os_errors(path):
            form.close()
        publish([file])


@contextmanager
def _csv(file: BinaryIO) -> Iterator[Write]:
    writer = csv.writer(codecs.getwriter("utf-8")(file), lineterminator="\n")
    writer.writerow(COLUMNS)

    def write(facility_id: str, load_kw: IntervalSeries, temp_c: FloatArray) -> None:
        columns = (_starts(load_kw), _kwh(load_kw).tolist(), temp_c.tolist())
        writer.writerows(
            (facility_id, f"{at:%Y-%m-%dT%H:%M:%SZ}", _text(kwh), _text(degrees))
            for at, kwh, degrees in zip(*columns, strict=True)
        )

    yield write


@contextmanager
def _parquet(file: BinaryIO) -> Iterator[Write]:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    kinds = (pa.string(), pa.timestamp("us", tz="UTC"), pa.float64(), pa.float64())
    schema = pa.schema(list(zip(COLUMNS, kinds, strict=True)))
    with ParquetWriter(file, schema) as writer:

        def write(facility_id: str, load_kw: IntervalSeries, temp_c: FloatArray) -> None:
            columns = ([facility_id] * len(temp_c), _starts(load_kw), _kwh(load_kw), temp_c)
            arrays = [
                pa.array(values, kind, from_pandas=True) for values, kind in zip(columns, kinds, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))

        yield write


FORMS: dict[str, Callable[[BinaryIO], AbstractContextManager[Write]]] = {".csv": _csv, ".parquet": _parquet}
"""Extension -> the form of the file."""


def _starts(series: IntervalSeries) -> list[datetime]:
    step = timedelta(seconds=series.step_s)
    return [series.starts_at + step * n for n in range(len(series.values))]


def _kwh(load_kw: IntervalSeries) -> FloatArray:
    """Exact for quarter-hours: a division by four changes only the exponent."""
    return load_kw.scaled(load_kw.step_s / 3600.0).values


def _text(value: float) -> str:
    return "" if np.isnan(value) else repr(value)
