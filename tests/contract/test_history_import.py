"""The contract of ReadingsFile: the same rows as CSV and as Parquet give the same results."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adapters.readings_file import CsvReadingsFile, ParquetReadingsFile, open_readings_file
from application.ports.history_import import (
    BadTimestamp,
    BadValue,
    DuplicateReading,
    FacilityNotInFile,
    IrregularStep,
    MissingColumn,
    NaiveTimestamp,
    ReadingsFile,
    ReadingsFileError,
    UnknownFileKind,
    UnknownTimeZone,
    UnreadableFile,
)

Written = tuple[str, str, str, str]
Open = Callable[[Sequence[Written]], ReadingsFile]

HEADER = ("facility", "timestamp", "load_kwh", "temp_c")
MIDNIGHT = datetime(2026, 7, 14, tzinfo=UTC)
ROWS: list[Written] = [
    ("b", "2026-07-14T00:15:00Z", "2.0", ""),
    ("a", "2026-07-14T02:00:00+02:00", "10", "21.5"),
    ("b", "2026-07-14T00:00:00Z", "1.0", ""),
    ("a", "2026-07-14T01:00:00Z", "", "22"),
    ("a", "2026-07-14 03:00:00+00:00", "NaN", "nan"),
    ("a", "2026-07-14T04:00:00Z", "-3.5", "-1"),
    ("b", "2026-07-14T00:30:00Z", "3.0", ""),
]


def write_csv(path: Path, rows: Sequence[Sequence[str]], header: Sequence[str] = HEADER) -> Path:
    path.write_text("\n".join(",".join(row) for row in (header, *rows)) + "\n")
    return path


def write_parquet(path: Path, rows: Sequence[Sequence[str]], header: Sequence[str] = HEADER) -> Path:
    columns = {name: pa.array([row[i] for row in rows], pa.string()) for i, name in enumerate(header)}
    pq.write_table(pa.table(columns), path)
    return path


@pytest.fixture(params=["csv", "parquet"])
def open_rows(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Write rows as strings and open the file in batches of two rows, so that batches matter."""

    def write_and_open(rows: Sequence[Written]) -> ReadingsFile:
        if request.param == "csv":
            return CsvReadingsFile(write_csv(tmp_path / "load.csv", rows), batch_rows=2)
        return ParquetReadingsFile(write_parquet(tmp_path / "load.parquet", rows), batch_rows=2)

    return write_and_open


def test_each_facility_is_read_in_order_of_time_with_its_own_step(open_rows: Open) -> None:
    found = open_rows(ROWS).read()
    assert list(found) == ["a", "b"]
    assert (found["a"].step_s, found["b"].step_s) == (3600, 900)
    assert found["b"].load_kwh.tolist() == [1, 2, 3]
    assert found["b"].starts_at[0] == np.datetime64("2026-07-14T00:00:00")


def test_a_missing_value_is_nan_and_a_missing_row_is_a_gap(open_rows: Open) -> None:
    found = open_rows(ROWS).read(["a"])["a"]
    load = found.load_kw()
    assert (load.starts_at, load.step_s) == (MIDNIGHT, 3600)
    np.testing.assert_array_equal(load.values, [10, np.nan, np.nan, np.nan, -3.5])
    np.testing.assert_array_equal(found.temperature_c().values, [21.5, 22, np.nan, np.nan, -1])


def test_energy_in_the_interval_becomes_mean_power(open_rows: Open) -> None:
    assert open_rows(ROWS).read(["b"])["b"].load_kw().values.tolist() == [4, 8, 12]


def test_batches_preserve_the_order_of_the_file_and_the_line_of_each_row(open_rows: Open) -> None:
    batches = list(open_rows(ROWS).batches())
    assert [name for batch in batches for name in batch.facility_ids] == [row[0] for row in ROWS]
    lines = [int(line) for batch in batches for line in batch.lines]
    assert lines in ([1, 2, 3, 4, 5, 6, 7], [2, 3, 4, 5, 6, 7, 8])
    assert max(len(batch.lines) for batch in batches) <= 2


def test_only_the_requested_facilities_are_read(open_rows: Open) -> None:
    bad_neighbour = [*ROWS, ("c", "yesterday", "x", "y")]
    assert list(open_rows(bad_neighbour).read(["b"])) == ["b"]
    assert {str(f) for batch in open_rows(ROWS).batches(["b"]) for f in batch.facility_ids} == {"b"}


def test_a_facility_without_rows_is_reported(open_rows: Open) -> None:
    with pytest.raises(FacilityNotInFile, match="no row of facility 'z'"):
        open_rows(ROWS).read(["a", "z"])
    with pytest.raises(FacilityNotInFile, match="has no row"):
        open_rows([]).read()


@pytest.mark.parametrize(
    ("row", "error", "problem"),
    [
        (("a", "yesterday", "1", ""), BadTimestamp, "'yesterday' is not ISO 8601"),
        (("a", "", "1", ""), BadTimestamp, "is not ISO 8601"),
        (("a", "2026-02-30T00:00:00Z", "1", ""), BadTimestamp, "is not ISO 8601"),
        (("a", "2026-07-14T05:00:00", "1", ""), NaiveTimestamp, "no UTC offset"),
        (
            ("a", "2026-07-14T05:00:00Z", "1;5", ""),
            BadValue,
            "load_kwh '1;5' is not a number",
        ),
        (("a", "2026-07-14T05:00:00Z", "inf", ""), BadValue, "load_kwh 'inf' is not finite"),
        (("a", "2026-07-14T05:00:00Z", "-2e300", ""), BadValue, "load_kwh '-2e300' is beyond 1e[+]12"),
        (("a", "2026-07-14T05:00:00Z", "1", "warm"), BadValue, "temp_c 'warm' is not a number"),
        (("", "2026-07-14T05:00:00Z", "1", ""), BadValue, "the facility is empty"),
        (
            ("a\0", "2026-07-14T05:00:00Z", "1", ""),
            BadValue,
            "the facility has a character that cannot be printed",
        ),
        (
            ("a", "2026-07-14T04:00:00Z", "1", ""),
            DuplicateReading,
            "a has another row for 2026-07-14T04:00:00",
        ),
        (("a", "2026-07-14T04:20:00Z", "1", ""), IrregularStep, "off its steps of 3600 s"),
        (("z", "2026-07-14T04:00:00Z", "1", ""), IrregularStep, "one row of z"),
        (("a", "2926-07-14T04:00:00Z", "1", ""), IrregularStep, "is a year mistyped"),
    ],
)
def test_a_fault_is_reported_with_the_file_and_the_line(
    open_rows: Open, row: Written, error: type[ReadingsFileError], problem: str
) -> None:
    with pytest.raises(error, match=problem) as refused:
        open_rows([*ROWS, row]).read()
    assert refused.value.line == (9 if refused.value.path.suffix == ".csv" else 8)
    assert str(refused.value).startswith(f"{refused.value.path}:{refused.value.line}: ")


@pytest.mark.parametrize("name", ["facility", "timestamp", "load_kwh"])
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_missing_column_is_reported(tmp_path: Path, name: str, ending: str) -> None:
    header = [n if n != name else "other" for n in HEADER]
    write = write_csv if ending == "csv" else write_parquet
    path = write(tmp_path / f"load.{ending}", ROWS, header)
    with pytest.raises(MissingColumn, match=f"no column {name}"):
        open_readings_file(path).read()


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_the_temperature_column_is_optional(tmp_path: Path, ending: str) -> None:
    write = write_csv if ending == "csv" else write_parquet
    path = write(tmp_path / f"load.{ending}", [row[:3] for row in ROWS], HEADER[:3])
    assert np.isnan(open_readings_file(path).read()["a"].temp_c).all()


def test_the_line_numbers_of_a_csv_match_those_in_an_editor(tmp_path: Path) -> None:
    path = tmp_path / "load.csv"
    path.write_text('\ufefffacility,timestamp,load_kwh\n\na,2026-07-14T00:00:00Z,1\n\n"a",soon,2\n')
    with pytest.raises(BadTimestamp) as refused:
        CsvReadingsFile(path).read()
    assert refused.value.line == 5


def test_a_csv_row_with_too_few_columns_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "load.csv"
    path.write_text("facility,timestamp,load_kwh\na,2026-07-14T00:00:00Z\n")
    with pytest.raises(BadValue, match="has 2 columns"):
        CsvReadingsFile(path).read()


def typed_table(**changed: Any) -> pa.Table:
    moments = [MIDNIGHT + timedelta(minutes=15 * i) for i in range(3)]
    columns = {
        "facility": pa.array(["a", "a", "a"]).dictionary_encode(),
        "timestamp": pa.array(moments, pa.timestamp("ns", "UTC")),
        "load_kwh": pa.array([1.5, None, float("nan")], pa.float32()),
    }
    return pa.table(columns | changed)


def test_a_typed_parquet_file_is_read(tmp_path: Path) -> None:
    pq.write_table(typed_table(), tmp_path / "load.parquet")
    found = open_readings_file(tmp_path / "load.parquet").read()["a"]
    np.testing.assert_array_equal(found.load_kw().values, [6, np.nan, np.nan])


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"timestamp": pa.array([datetime(2026, 7, 14)] * 3, pa.timestamp("us"))}, NaiveTimestamp),  # noqa: DTZ001
        ({"timestamp": pa.array([MIDNIGHT, None, MIDNIGHT], pa.timestamp("us", "UTC"))}, BadTimestamp),
        ({"facility": pa.array(["a", None, "a"])}, BadValue),
        ({"load_kwh": pa.array([1.0, float("inf"), 2.0])}, BadValue),
        ({"load_kwh": pa.array([1.0, -2e300, float("nan")])}, BadValue),
    ],
)
def test_a_fault_of_a_typed_parquet_file_is_reported(
    tmp_path: Path, changed: dict[str, Any], error: type[ReadingsFileError]
) -> None:
    pq.write_table(typed_table(**changed), tmp_path / "load.parquet")
    with pytest.raises(error) as refused:
        open_readings_file(tmp_path / "load.parquet").read()
    assert refused.value.line == (None if error is NaiveTimestamp else 2)


def test_an_unknown_extension_an_absent_file_and_a_wrong_format_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownFileKind, match="is neither"):
        open_readings_file(tmp_path / "load.xlsx")
    with pytest.raises(UnreadableFile, match="no such file"):
        open_readings_file(tmp_path / "load.csv")
    for name in ("lying.csv", "lying.parquet"):
        (tmp_path / name).write_bytes(b"\xff\xfe\x00\x01" * 10)
        with pytest.raises(UnreadableFile, match="cannot be read as"):
            open_readings_file(tmp_path / name).read()


def test_the_time_zones_are_read_from_the_facilities_file_beside_it(open_rows: Open, tmp_path: Path) -> None:
    assert open_rows(ROWS).time_zones() == {}
    facilities = tmp_path / "facilities.csv"
    facilities.write_text("facility,kind,tz\na,office,Europe/London\nb,office,\n")
    assert {f: z.key for f, z in open_rows(ROWS).time_zones().items()} == {"a": "Europe/London"}
    facilities.write_text("facility,tz\na,Europe/London\nb,Mars/Olympus\n")
    with pytest.raises(UnknownTimeZone, match=r"facilities.csv:3: there is no time zone 'Mars/Olympus'"):
        open_rows(ROWS).time_zones()
    facilities.write_text("facility,zone\na,Europe/London\n")
    with pytest.raises(MissingColumn, match="no column tz"):
        open_rows(ROWS).time_zones()


@pytest.mark.parametrize("column", ["facility", "timestamp", "load_kwh"])
def test_a_long_text_that_stands_once_in_a_file_is_not_copied_for_each_row(
    tmp_path: Path, column: str
) -> None:
    """2 MB in 20,000 rows would be 40 GB."""
    rows = 20_000
    texts = {
        name: pa.array([value] * rows) for name, value in zip(HEADER[:3], ("hall", "?", "1"), strict=True)
    }
    texts[column] = pa.DictionaryArray.from_arrays(pa.array([0] * rows), pa.array(["x" * 2_000_000])).cast(
        pa.dictionary(pa.int32(), pa.string())
    )
    table = pa.table(texts).replace_schema_metadata(None)
    pq.write_table(table, tmp_path / "load.parquet", store_schema=False)
    code = (
        "import sys; from pathlib import Path; from adapters.readings_file import ParquetReadingsFile as File; "
        "list(File(Path(sys.argv[1])).batches())"
    )
    result = subprocess.run(
        ["prlimit", f"--as={4 << 30}", sys.executable, "-c", code, str(tmp_path / "load.parquet")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"the {column} has over 200 characters" in result.stderr.splitlines()[-1]
