"""Green Button XML: what is written is read back; for a faulty file, the reader reports the fault."""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.readings_file import GreenButtonFile, xml_walk
from adapters.readings_file.local_time import LocalTime, WrongRule
from application.ports.history_import import (
    QUALITIES,
    BadTimestamp,
    BadValue,
    DuplicateReading,
    FacilityReadings,
    IrregularStep,
    ReadingsFileError,
    UnreadableFile,
)
from tests.green_button import MARCH_RULE, NOVEMBER_RULE, Feed, Interval, Meter, Point, one_meter, seconds
from tests.sizes import examples

T0 = seconds(2026, 7, 14)


def read(feed: Feed | str, path: Path, facility_id: str | None = None) -> FacilityReadings:
    """The only facility of the file."""
    path.write_text(feed if isinstance(feed, str) else feed.xml())
    (found,) = GreenButtonFile(path, facility_id).read().values()
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "usage.xml"


values = st.integers(-(10**9), 10**9) | st.none()


@settings(max_examples=examples(60))
@given(
    days=st.lists(st.lists(values, min_size=1, max_size=8), min_size=1, max_size=4),
    step_s=st.sampled_from([60, 300, 900, 1_800, 3_600]),
    power_of_ten=st.sampled_from([-3, 0, 3]),
    uom=st.sampled_from([72, 38]),
    blocks_first=st.booleans(),
    own_times=st.booleans(),
    data=st.data(),
)
def test_every_written_interval_is_read_with_its_time_and_energy(
    *,
    days: list[list[int | None]],
    step_s: int,
    power_of_ten: int,
    uom: int,
    blocks_first: bool,
    own_times: bool,
    data: st.DataObject,
) -> None:
    blocks, expected, at = [], [], T0
    for day in days:
        block: list[Interval] = []
        for value in day:
            first = not block
            block.append(Interval(at if own_times or first else None, value, step_s if own_times else None))
            expected.append(np.nan if value is None else value * 10.0 ** (power_of_ten - 3))
            at += step_s
        blocks.append(block)
    order = data.draw(st.permutations(range(len(blocks))))
    meter = Meter([blocks[n] for n in order], uom=uom, power_of_ten=power_of_ten, interval_s=step_s)
    with tempfile.TemporaryDirectory() as folder:
        found = read(Feed([Point([meter])], blocks_first=blocks_first), Path(folder) / "usage.xml")
    hours = step_s / 3_600 if uom == 38 else 1.0
    np.testing.assert_allclose(found.load_kwh, np.array(expected) * hours, rtol=1e-12)
    assert (found.facility_id, found.step_s) == ("fac-001", step_s)
    assert found.starts_at[0] == np.datetime64(T0, "s")


WHOLE = one_meter(*(Interval(T0 + 900 * n, 100 + n) for n in range(4))).xml().encode()


@settings(max_examples=examples(300))
@given(
    at=st.integers(0, len(WHOLE) - 1),
    length=st.integers(0, 40),
    instead=st.binary(max_size=8)
    | st.sampled_from([b"-", b"9" * 25, b"1e5", b"<", b"&x;", b"<!--", b"", b"]]>"]),
)
def test_a_damaged_file_is_read_or_its_fault_is_reported(at: int, length: int, instead: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        damaged = Path(folder) / "usage.xml"
        damaged.write_bytes(WHOLE[:at] + instead + WHOLE[at + length :])
        file = GreenButtonFile(damaged)
        try:
            for found in file.read().values():
                assert len(found.starts_at) <= 4
            file.clock_changes(2026, 2026)
        except ReadingsFileError as error:
            assert str(error).startswith(str(damaged))  # noqa: PT017 - an error is not required


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_reported_as_an_unreadable_file(garbage: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "usage.xml"
        path.write_bytes(garbage)
        with pytest.raises(ReadingsFileError):
            GreenButtonFile(path).read()


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.parametrize(
    ("declared", "used"),
    [
        (f'<!DOCTYPE feed [<!ENTITY l0 "ha">{LAUGHS}]>', "&l9;"),
        ('<!DOCTYPE feed [<!ENTITY secret SYSTEM "file:///etc/passwd">]>', "&secret;"),
        ('<!DOCTYPE feed SYSTEM "http://127.0.0.1:1/feed.dtd">', ""),
        ("<!DOCTYPE feed>", ""),
    ],
)
def test_a_document_type_is_refused_with_all_its_entities(path: Path, declared: str, used: str) -> None:
    feed = WHOLE.decode().replace("<feed", f"{declared}<feed").replace("<title>Green", f"<title>{used}Green")
    with pytest.raises(UnreadableFile, match="document type definition"):
        read(feed, path)


def test_an_undeclared_entity_is_refused(path: Path) -> None:
    with pytest.raises(UnreadableFile, match="undefined entity"):
        read(WHOLE.decode().replace("Green Button", "&other;"), path)


def test_a_file_with_too_deep_nesting_or_endless_tags_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UnreadableFile, match="nested deeper than 64"):
        read("<feed>" + "<a>" * 100, path)
    monkeypatch.setattr(xml_walk, "MAX_TOKEN_BYTES", 200_000)
    for endless in ("<!-- " + "x" * 500_000, '<feed a="' + "x" * 500_000):
        with pytest.raises(UnreadableFile, match="tag or comment of over"):
            read(endless, path)


def test_a_long_text_is_truncated_while_it_is_read(path: Path) -> None:
    feed = WHOLE.decode().replace("Green Button", "x" * 1_000_000)
    assert len(read(feed, path).load_kwh) == 4


def test_intervals_without_times_take_them_from_the_block_and_the_reading_type(path: Path) -> None:
    feed = one_meter(*(Interval(None, n, None) for n in range(3)), interval_s=1_800, block_start_s=T0 + 3_600)
    found = read(feed, path)
    assert (found.step_s, found.load_kwh.tolist()) == (1_800, [0.0, 0.001, 0.002])
    assert found.starts_at[0] == np.datetime64(T0 + 3_600, "s")


def test_the_step_of_a_single_interval_is_its_duration(path: Path) -> None:
    assert read(one_meter(Interval(T0, 5, 3_600)), path).step_s == 3_600


def test_mean_power_becomes_the_energy_of_its_interval(path: Path) -> None:
    found = read(
        one_meter(Interval(T0, 10), Interval(T0 + 900, 20), uom=38, power_of_ten=3, accumulation=12), path
    )
    assert found.load_kwh.tolist() == [2.5, 5.0]
    assert found.load_kw().values.tolist() == [10.0, 20.0]


def test_energy_fed_in_is_subtracted_and_its_missing_intervals_count_as_zero(path: Path) -> None:
    delivered = Meter([[Interval(T0 + 900 * n, 1_000 * n) for n in range(3)]])
    fed_in = Meter([[Interval(T0 + 900, 3_000)]], direction=19)
    feed = Feed([Point([delivered, fed_in])])
    assert read(feed, path).load_kwh.tolist() == [0.0, -2.0, 2.0]
    assert GreenButtonFile(path).exporters() == {"fac-001"}


def test_a_net_reading_overrides_the_others(path: Path) -> None:
    meters = [Meter([[Interval(T0, value)]], direction=way) for way, value in ((1, 9), (19, 8), (4, -1_000))]
    assert read(Feed([Point(meters)]), path).load_kwh.tolist() == [-1.0]


def test_energy_has_precedence_over_power_and_other_units_are_ignored(path: Path) -> None:
    meters = [
        Meter([[Interval(T0, 5_000)]], uom=38, accumulation=12),
        Meter([[Interval(T0, 7_000)]]),
        Meter([[Interval(T0, 230)]], uom=29),
        Meter([[Interval(T0, 991_823)]], accumulation=3),
    ]
    gas = Point([Meter([[Interval(T0, 12)]])], title="the gas meter", service=1)
    assert read(Feed([Point(meters), gas]), path).load_kwh.tolist() == [7.0]


def test_usage_points_of_a_facility_are_summed_and_a_gap_in_one_is_a_gap(path: Path) -> None:
    points = [Point([Meter([[Interval(T0 + 900 * n, 1_000) for n in rows]])]) for rows in ((0, 1, 2), (0, 2))]
    found = read(Feed(points), path, "fac-009")
    assert found.facility_id == "fac-009"
    np.testing.assert_array_equal(found.load_kwh, [2.0, np.nan, 2.0])


def test_the_title_of_a_usage_point_names_the_facility(path: Path) -> None:
    points = [Point([Meter([[Interval(T0, 1)]])], title=title) for title in ("fac-001", "fac-002")]
    Feed(points).write(path)
    assert list(GreenButtonFile(path).read()) == ["fac-001", "fac-002"]
    assert list(GreenButtonFile(path).read(["fac-002"])) == ["fac-002"]
    Feed([Point(points[0].meters, title="12 High Street")]).write(path)
    with pytest.raises(BadValue, match="say which with --facility"):
        GreenButtonFile(path).read()
    assert list(GreenButtonFile(path, "fac-007").read()) == ["fac-007"]


def test_estimated_values_are_flagged_and_projected_ones_are_missing(path: Path) -> None:
    qualities = [None, "8", "9", "10", "12", "17", "19", "0"]
    feed = one_meter(
        *(Interval(T0 + 900 * n, 1_000, quality=q) for n, q in enumerate(qualities)), default_quality="8"
    )
    feed.write(path)
    (batch,) = GreenButtonFile(path).batches()
    assert batch.quality is not None
    said = [QUALITIES[q] for q in batch.quality]
    assert said == ["estimated"] * 3 + ["questionable", "projected"] + ["estimated"] * 3
    assert np.isnan(batch.load_kwh).tolist() == [False] * 4 + [True] + [False] * 3


@pytest.mark.parametrize(
    ("feed", "error", "problem"),
    [
        (one_meter(Interval(T0, "12.5")), BadValue, "value '12.5' is no whole number"),
        (one_meter(Interval(T0, 2**63)), BadValue, "no whole number of 64 bits"),
        (one_meter(Interval(T0, 1, 0)), BadValue, "an interval of 0 s"),
        (one_meter(Interval(T0, 1, 2_678_400)), BadValue, "an interval of 2678400 s"),
        (one_meter(Interval(T0 * 1_000, 1)), BadTimestamp, "no time in seconds"),
        (one_meter(Interval(T0, 1), Interval(T0, 1)), DuplicateReading, "another row for"),
        (
            one_meter(Interval(T0, 1), Interval(T0 + 900, 1, 3_600), Interval(T0 + 4_500, 1)),
            IrregularStep,
            "3600 s among",
        ),
        (one_meter(Interval(T0, 1), Interval(T0 + 1_000, 1)), IrregularStep, "off its steps of 900 s"),
        (one_meter(Interval(T0, 1), power_of_ten=40), BadValue, "powerOfTenMultiplier 40"),
        (one_meter(Interval(T0, 1), uom=169), UnreadableFile, "no interval energy or power"),
        (Feed([Point([Meter([[Interval(T0, 1)]])] * 2)]), BadValue, "nothing says which counts"),
        ("<feed xmlns='http://www.w3.org/2005/Atom'/>", UnreadableFile, "no Green Button feed"),
    ],
)
def test_a_fault_is_reported(
    path: Path, feed: Feed | str, error: type[ReadingsFileError], problem: str
) -> None:
    with pytest.raises(error, match=problem):
        read(feed, path)


def test_a_fault_is_reported_with_its_line(path: Path) -> None:
    feed = (
        one_meter(Interval(T0, 1), Interval(T0 + 900, "x"))
        .xml()
        .replace("<IntervalReading>", "\n<IntervalReading>")
    )
    line = feed[: feed.index("<value>x")].count("\n") + 1
    with pytest.raises(BadValue) as refused:
        read(feed, path)
    assert refused.value.line == line


@pytest.mark.parametrize("year", range(2020, 2031))
@pytest.mark.parametrize(
    ("zone", "offset_s", "starts", "ends"),
    [
        ("America/New_York", -18_000, MARCH_RULE, NOVEMBER_RULE),
        ("America/Los_Angeles", -28_800, MARCH_RULE, NOVEMBER_RULE),
        ("Europe/Berlin", 3_600, "3E0E2000", "AE0E3000"),
    ],
)
def test_daylight_saving_rules_give_the_clock_changes_of_the_time_zone(
    zone: str, offset_s: int, starts: str, ends: str, year: int
) -> None:
    changes = LocalTime(offset_s, 3_600, starts, ends).clock_changes(year, year)
    assert [change.shift_s for change in changes] == [3_600, -3_600]
    for at, shift_s in changes:
        after, before = (
            moment.astimezone(ZoneInfo(zone)).utcoffset() for moment in (at, at - timedelta(seconds=1))
        )
        assert after is not None
        assert before is not None
        assert (after - before).total_seconds() == shift_s


def test_daylight_saving_rules_of_each_operator_are_evaluated() -> None:
    def day(rule: str) -> datetime:
        return LocalTime(0, 3_600, rule, NOVEMBER_RULE).clock_changes(2026, 2026)[0].at

    def rule(
        *, operator: int, weekday: int = 0, month_day: int = 0, hour: int = 1, second: int = 2_700
    ) -> str:
        return f"{3 << 28 | operator << 25 | month_day << 20 | weekday << 17 | hour << 12 | second:08X}"

    third_friday = rule(operator=4, weekday=5)  # The example in the standard, 1:45.
    assert day(third_friday) == datetime(2026, 3, 20, 1, 45, tzinfo=UTC)
    assert day(rule(operator=0, month_day=15)).day == 15
    assert day(rule(operator=1, weekday=7, month_day=25)).day == 29
    assert day(rule(operator=7, weekday=7)).day == 29
    assert LocalTime(0, 3_600, "FFFFFFFF", "FFFFFFFF").clock_changes(2026, 2026) == []
    for wrong in ("x", "1FFFFFFFF", "000E2000", rule(operator=2), rule(operator=1, weekday=7)):
        with pytest.raises(WrongRule):
            LocalTime(0, 3_600, wrong, NOVEMBER_RULE)


def test_clock_changes_are_read_from_the_feed(path: Path) -> None:
    one_meter(Interval(T0, 1)).write(path)
    (changes,) = GreenButtonFile(path).clock_changes(2026, 2026).values()
    assert [change.at for change in changes] == [
        datetime(2026, 3, 8, 7, tzinfo=UTC),
        datetime(2026, 11, 1, 6, tzinfo=UTC),
    ]
    Feed([Point([Meter([[Interval(T0, 1)]])])], local_time=(-18_000, 3_600, "000E2000", MARCH_RULE)).write(
        path
    )
    with pytest.raises(BadValue, match="daylight saving rule"):
        GreenButtonFile(path).clock_changes(2026, 2026)


def test_rows_of_one_series_are_read_in_batches(path: Path) -> None:
    one_meter(*(Interval(T0 + 900 * n, n) for n in range(7))).write(path)
    assert [len(batch.lines) for batch in GreenButtonFile(path, batch_rows=3).batches()] == [3, 3, 1]
