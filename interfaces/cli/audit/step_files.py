"""Writes rows of the audit to JSON lines, CSV or Parquet files, streaming; files appear only when complete."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from interfaces.cli.console.atomic_files import UnfinishedFile, converted_os_errors, publish
from interfaces.cli.console.printing import json_line
from projections.audit.whole_log import AuditRow

BATCH = 1_000
"""Steps in memory at once, and in a row group of a Parquet file."""
STEM = "audit-steps"
COLUMNS = (
    "position", "recorded_at", "dr_event_id", "facility_id", "who", "what", "why", "topic", "domain_event_id",
    "cause_kind", "causation_id", "cause_position", "cause_topic", "cause_what", "correlation_id", "trace_id", "tenant",
    "program_id",
)  # fmt: skip
"""Of CSV and Parquet; JSON lines have the cause as an object of its own."""
_NUMBERS = frozenset({"position", "cause_position"})
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A cell that starts with one of these could be run as a formula by a spreadsheet."""
Write = Callable[[Sequence[AuditRow]], None]


def export_steps(steps: Iterable[AuditRow], formats: Iterable[str], folder: Path) -> tuple[int, list[Path]]:
    """Write all steps to one file per format; returns their number and the files.

    Raises FileAlreadyExists or FileNotWritten.
    If the export fails, no file remains.
    """
    with converted_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    count = 0
    paths = [folder / f"{STEM}.{name}" for name in dict.fromkeys(formats)]
    with ExitStack() as stack:
        files = [stack.enter_context(UnfinishedFile(path)) for path in paths]
        with ExitStack() as forms:
            writes = [forms.enter_context(_formed(file)) for file in files]
            remaining = iter(steps)
            while batch := list(islice(remaining, BATCH)):
                for write in writes:
                    write(batch)
                count += len(batch)
        publish(files)
    return count, paths


@contextmanager
def _formed(file: UnfinishedFile) -> Iterator[Write]:
    form = ExitStack()
    with converted_os_errors(file.path):
        write = form.enter_context(FORMATS[file.path.suffix.removeprefix(".")](file.file))

    def written(steps: Sequence[AuditRow]) -> None:
        with converted_os_errors(file.path):
            write(steps)

    try:
        yield written
    except BaseException:
        with suppress(OSError):  # the file is discarded anyway
            form.close()
        raise
    with converted_os_errors(file.path):
        form.close()


@contextmanager
def _json_lines(file: BinaryIO) -> Iterator[Write]:
    yield lambda steps: file.writelines(json_line(step) for step in steps)


@contextmanager
def _csv(file: BinaryIO) -> Iterator[Write]:
    writer = csv.writer(codecs.getwriter("utf-8")(file))
    writer.writerow(COLUMNS)
    yield lambda steps: writer.writerows(_cells(step, _text) for step in steps)


@contextmanager
def _parquet(file: BinaryIO) -> Iterator[Write]:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    def kind_of(column: str) -> Any:
        if column == "recorded_at":
            return pa.timestamp("us", tz="UTC")
        return pa.int64() if column in _NUMBERS else pa.string()

    schema = pa.schema([(column, kind_of(column)) for column in COLUMNS])

    with ParquetWriter(file, schema) as writer:

        def write(steps: Sequence[AuditRow]) -> None:
            columns = zip(*(_cells(step, _plain) for step in steps), strict=True)
            arrays = [pa.array(values, kind_of(name)) for name, values in zip(COLUMNS, columns, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))

        yield write


FORMATS: dict[str, Callable[[BinaryIO], AbstractContextManager[Write]]] = {
    "jsonl": _json_lines,
    "csv": _csv,
    "parquet": _parquet,
}


def _cells(step: AuditRow, formed: Callable[[str, Any], Any]) -> list[Any]:
    cause = step.caused_by
    of_cause = {
        "cause_kind": cause.kind,
        "causation_id": cause.causation_id,
        "cause_position": cause.position,
        "cause_topic": cause.topic,
        "cause_what": cause.what,
    }
    return [
        formed(name, of_cause[name] if name in of_cause else getattr(step, name, None)) for name in COLUMNS
    ]


def _plain(column: str, value: Any) -> Any:
    return value if value is None or column in _NUMBERS or column == "recorded_at" else str(value)


def _text(column: str, value: Any) -> str:
    """The value as in JSON. None becomes an empty cell; text that looks like a formula gets an apostrophe."""
    if value is None:
        return ""
    if column == "recorded_at":
        return f"{value:%Y-%m-%dT%H:%M:%S.%fZ}"
    text = str(value)
    return f"'{text}" if text.startswith(FORMULA) else text
