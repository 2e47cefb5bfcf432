"""A readings file in Parquet."""

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from adapters.readings_file.on_disk import FileOnDisk
from adapters.readings_file.parsing import LARGEST, LONGEST_ID, UNPRINTABLE, numbers, starts_of_intervals
from application.ports.history_import import (
    BadTimestamp,
    BadValue,
    MissingColumn,
    NaiveTimestamp,
    ReadingsBatch,
    TimeArray,
    UnreadableFile,
)
from domain.time_series.windows import FloatArray

_BUFFER_BYTES = 1 << 20
"""The buffer of each column; without it a row group is read whole."""
_MOST_BYTES = 4 * LONGEST_ID
"""Of a text, in UTF-8."""


class ParquetReadingsFile(FileOnDisk):
    """Reads `path` in record batches; an error names its row, counted from 1."""

    def batches(self, facility_ids: Collection[str] | None = None) -> Iterator[ReadingsBatch]:
        wanted = None if facility_ids is None else pa.array(sorted(facility_ids), pa.string())
        first_line = 1
        try:
            schema = pq.read_schema(self._path)
            names, texts = self._columns(schema), [one.name for one in schema if _is_text(one.type)]
            with pq.ParquetFile(self._path, buffer_size=_BUFFER_BYTES, read_dictionary=texts) as file:
                for coded in file.iter_batches(batch_size=self._batch_rows, columns=names):
                    lines = np.arange(first_line, first_line + coded.num_rows, dtype=np.int64)
                    batch = self._decoded(coded, lines)
                    first_line += batch.num_rows
                    if (made := self._batch(batch, lines, wanted)).lines.size:
                        yield made
        except UnicodeDecodeError as error:
            problem = f"a text is not UTF-8 ({error.reason}); write the file again"
            raise UnreadableFile(self._path, None, problem) from error
        except (OSError, pa.ArrowException) as error:
            raise UnreadableFile(self._path, None, f"cannot be read as Parquet: {error}") from error

    def _columns(self, schema: Any) -> list[str]:
        for name in ("facility", "timestamp", "load_kwh"):
            if name not in schema.names:
                raise MissingColumn(
                    self._path, None, f"there is no column {name}; found: {', '.join(schema.names)}"
                )
        kind = schema.field("timestamp").type
        if pa.types.is_timestamp(kind) and kind.tz is None:
            raise NaiveTimestamp(self._path, None, "column timestamp has no time zone; write it as UTC")
        return ["facility", "timestamp", "load_kwh", *(["temp_c"] if "temp_c" in schema.names else [])]

    def _decoded(self, coded: Any, lines: Any) -> Any:
        """The batch with its texts in place of numbers of their dictionaries, in which a long one takes place once."""
        columns = []
        for name, column in zip(coded.schema.names, coded.columns, strict=True):
            if pa.types.is_dictionary(column.type):
                if _is_text(column.type.value_type):
                    too_long = pc.greater(pc.binary_length(column.dictionary), _MOST_BYTES)
                    long = pc.fill_null(pc.take(too_long, column.indices), False).to_numpy(False)
                    if long.any():
                        problem = f"the {name} has over {LONGEST_ID} characters"
                        raise BadValue(self._path, int(lines[long.argmax()]), problem)
                column = column.dictionary_decode()  # noqa: PLW2901
            columns.append(column)
        return pa.RecordBatch.from_arrays(columns, coded.schema.names)

    def _batch(self, batch: Any, lines: Any, wanted: Any) -> ReadingsBatch:
        facilities = batch.column("facility").cast(pa.string())
        self._refuse_wrong_ids(facilities, lines)
        if wanted is not None:
            mask = pc.is_in(facilities, value_set=wanted)
            batch, facilities, lines = (
                batch.filter(mask),
                facilities.filter(mask),
                lines[mask.to_numpy(False)],
            )
        temp_c = np.full(len(lines), np.nan)
        if "temp_c" in batch.schema.names:
            temp_c = self._numbers("temp_c", batch.column("temp_c"), lines)
        return ReadingsBatch(
            np.array(facilities.to_pylist(), dtype=np.str_),
            self._times(batch.column("timestamp"), lines),
            self._numbers("load_kwh", batch.column("load_kwh"), lines),
            temp_c,
            lines,
        )

    def _refuse_wrong_ids(self, facilities: Any, lines: Any) -> None:
        empty = pc.fill_null(pc.equal(facilities, ""), True).to_numpy(False)
        if empty.any():
            raise BadValue(self._path, int(lines[empty.argmax()]), "the facility is empty")
        long = pc.greater(pc.utf8_length(facilities), LONGEST_ID).to_numpy(False)
        if long.any():
            problem = f"the facility has over {LONGEST_ID} characters"
            raise BadValue(self._path, int(lines[long.argmax()]), problem)
        wrong = [one for one in pc.unique(facilities).to_pylist() if not one.isprintable()]
        if wrong:
            found = pc.is_in(facilities, value_set=pa.array(wrong, pa.string())).to_numpy(False)
            raise BadValue(self._path, int(lines[found.argmax()]), UNPRINTABLE)

    def _times(self, column: Any, lines: Any) -> TimeArray:
        if column.null_count:
            first_null = int(lines[pc.is_null(column).to_numpy(False).argmax()])
            raise BadTimestamp(self._path, first_null, "the timestamp is empty")
        if pa.types.is_timestamp(column.type):
            moments: TimeArray = column.cast(pa.timestamp("us", "UTC"), safe=False).to_numpy(False)
            return moments.astype("datetime64[us]")
        return starts_of_intervals(self._path, lines, column.cast(pa.string()).to_pylist())

    def _numbers(self, name: str, column: Any, lines: Any) -> FloatArray:
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            return numbers(self._path, lines, name, [value or "" for value in column.to_pylist()])
        values: FloatArray = column.cast(pa.float64()).to_numpy(False).astype(np.float64)
        if (beyond := np.abs(values) > LARGEST).any():
            at = beyond.argmax()
            raise BadValue(self._path, int(lines[at]), f"{name} {values[at]} is beyond {LARGEST:g}")
        return values


def _is_text(kind: Any) -> bool:
    return any(
        is_one(kind)
        for is_one in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_binary,
            pa.types.is_large_binary,
        )
    )
