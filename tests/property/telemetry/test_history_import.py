"""An imported readings file gives the same result, messages and stored values for any split into pieces."""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.readings_file import CsvReadingsFile, GreenButtonFile, netting, sorting
from adapters.readings_file.ordering import sort_file
from adapters.readings_file.sorting import ROW, Sorter
from application.history_import import importer, spike_detection
from application.history_import.importer import import_history
from application.history_import.inspection import inspect_readings
from application.history_import.spike_detection import Median
from application.ports.history_import import ReadingsFile, ReadingsFileError
from tests.fakes.telemetry.store import FakeTelemetryStore
from tests.green_button import Feed, Interval, Meter, Point, seconds
from tests.sizes import examples

LONDON_PUTS_CLOCKS_BACK = datetime(2026, 10, 24, tzinfo=UTC)
NOWHERE = Path("nowhere.csv")


@st.composite
def tables(draw: st.DrawFn) -> list[str]:
    """Lines of a CSV: hourly with gaps, empty loads, runs of one value, and sometimes a duplicate or
    misplaced row.
    """
    rows = []
    for name in draw(st.sampled_from(["a", "ab", "abc"])):
        loads = draw(
            st.lists(
                st.tuples(
                    st.sampled_from(["", "0", "0", "7", "-2", "11.5", "10", "400"]),
                    st.sampled_from([1, 2, 7, 25]),
                ),
                min_size=1,
                max_size=6,
            )
        )
        values = [value for value, times in loads for _ in range(times)]
        dropped = draw(st.sets(st.integers(0, len(values) - 1), max_size=3)) if len(values) > 4 else set()
        for n, value in enumerate(values):
            if n not in dropped:
                rows.append(f"{name},{(LONDON_PUTS_CLOCKS_BACK + timedelta(hours=n)).isoformat()},{value}")
    if draw(st.integers(0, 3)) == 0:
        rows.append(draw(st.sampled_from(rows)))
    if draw(st.integers(0, 9)) == 0:
        rows.append(f"a,{(LONDON_PUTS_CLOCKS_BACK + timedelta(seconds=20)).isoformat()},1")
    draw(st.randoms(use_true_random=False)).shuffle(rows)
    return rows


def outcome(file: ReadingsFile, path: Path, chunk_rows: int) -> tuple[Any, ...]:
    """The findings, the messages or the refusal, and the stored values."""
    store = FakeTelemetryStore()
    with sort_file(path, file.batches(), lambda _rows: None, chunk_rows=chunk_rows) as ordered:
        inspected = inspect_readings(file, ordered)
        try:
            return inspected, import_history(ordered, store), store.imported
        except ReadingsFileError as error:
            assert store.imported == {}
            return inspected, type(error), str(error)


@settings(max_examples=examples(60), deadline=None)
@given(rows=tables(), batch_rows=st.integers(1, 9), chunk_rows=st.integers(1, 9), at_once=st.integers(1, 9))
def test_the_result_does_not_depend_on_the_chunk_size(
    rows: list[str], batch_rows: int, chunk_rows: int, at_once: int
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = Path(folder) / "load.csv"
        path.write_text("\n".join(["facility,timestamp,load_kwh", *rows]) + "\n")
        path.with_name("facilities.csv").write_text("facility,tz\na,Europe/London\n")
        whole = outcome(CsvReadingsFile(path), path, 1_000_000)
        patch.setattr(importer, "ROWS_AT_ONCE", at_once)
        assert repr(outcome(CsvReadingsFile(path, batch_rows=batch_rows), path, chunk_rows)) == repr(whole)


numbers = st.lists(st.integers(0, 60), max_size=60, unique=True)


@settings(max_examples=examples(30), deadline=None)
@given(delivered=numbers, fed_in=numbers, again=st.booleans(), pieces=st.integers(1, 9))
def test_netting_of_separate_flows_does_not_depend_on_the_chunk_size(
    delivered: list[int], fed_in: list[int], again: bool, pieces: int
) -> None:
    start = seconds(2026, 7, 14)
    meters = [
        Meter([[Interval(start + 900 * n, 1_000 + 7 * n) for n in chosen]], direction=direction)
        for chosen, direction in (([0, *([0] if again else []), *delivered], 1), ([1, *fed_in], 19))
    ]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = Path(folder) / "usage.xml"
        Feed([Point(meters)]).write(path)
        whole = outcome(GreenButtonFile(path), path, 1_000_000)
        patch.setattr(netting, "CHUNK_ROWS", pieces)
        assert repr(outcome(GreenButtonFile(path), path, pieces)) == repr(whole)


@settings(max_examples=examples(150), deadline=None)
@given(
    keys=st.lists(st.tuples(st.integers(0, 3), st.integers(-4, 4)), max_size=80),
    at_once=st.integers(1, 30),
    run_rows=st.integers(1, 20),
    fan_in=st.integers(2, 5),
    buffer_rows=st.integers(1, 9),
)
def test_merged_runs_have_the_order_of_a_single_sort(
    *, keys: list[tuple[int, int]], at_once: int, run_rows: int, fan_in: int, buffer_rows: int
) -> None:
    rows = np.zeros(len(keys), dtype=ROW)
    rows["group"], rows["starts_at_us"] = [group for group, _ in keys], [at for _, at in keys]
    rows["line"] = np.arange(len(keys))
    with pytest.MonkeyPatch.context() as patch, Sorter(NOWHERE, run_rows=run_rows, fan_in=fan_in) as sorter:
        patch.setattr(sorting, "BUFFER_ROWS", buffer_rows)
        for first in range(0, len(rows), at_once):
            sorter.add(rows[first : first + at_once])
        run = sorter.merged()
        found = run.read(0, run.rows)["line"].tolist()
    assert found == [n for n, _ in sorted(enumerate(keys), key=lambda one: one[1])]


@settings(deadline=None)
@given(
    values=st.lists(st.floats(0, 1e9, allow_subnormal=False), min_size=1, max_size=60),
    pieces=st.integers(1, 9),
)
def test_the_approximate_median_does_not_depend_on_the_chunk_size(values: list[float], pieces: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spike_detection.Median, "EXACT", 0)
        whole, of_pieces = Median(), Median()
        whole.add(np.array(values))
        for first in range(0, len(values), pieces):
            of_pieces.add(np.array(values[first : first + pieces]))
        found = of_pieces.value()
        assert found == whole.value()
    assert found == pytest.approx(float(np.median(values)), rel=0.004, abs=1e-300)
