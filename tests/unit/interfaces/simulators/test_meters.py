"""The simulated meters, and the faults that can be ordered for a building."""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from domain.time_series.windows import TimeWindow
from interfaces.simulators.bms.building import Building
from interfaces.simulators.bms.faults import FaultBook, FaultOrder
from interfaces.simulators.meters.load_model import LoadModel
from interfaces.simulators.meters.meters import MeteredBuilding, MeterFleet, Silence
from interfaces.simulators.meters.recorded_load import UnreadableReadings
from interfaces.simulators.outside_journal import MeterTurn
from interfaces.simulators.sample_portfolio import make_portfolio
from interfaces.simulators.world import load_sources
from interfaces.simulators.world_spec import InvalidWorld

NOON = datetime(2026, 7, 14, 12, tzinfo=UTC)


class Sent:
    """An outbox that records all messages."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, dict[str, object]]] = []

    def put(self, topic: str, payload: bytes) -> None:
        self.messages.append((topic, msgspec.json.decode(payload)))


class SteppedClock:
    """Advances by `step_s` each time it is read. Waits take no wall time."""

    def __init__(self, step_s: float) -> None:
        self._at = NOON
        self._step = timedelta(seconds=step_s)

    def now(self) -> datetime:
        self._at += self._step
        return self._at

    def wall_seconds(self, clock_seconds: float) -> float:
        return 0.0


def fleet(clock: SteppedClock, outbox: Sent, *meter_ids: str) -> MeterFleet:
    building = Building("fac-001", (), record=lambda _: None)
    metered = MeteredBuilding(building, LoadModel("fac-001"), meter_ids or ("main",))
    return MeterFleet([metered], outbox=outbox, clock=clock, cadence_s=60.0)


async def run_for(moments: int, meters: MeterFleet) -> None:
    running = asyncio.create_task(meters.run())
    for _ in range(moments):
        await asyncio.sleep(0)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


def test_a_fleet_without_delay_publishes_every_tick_once() -> None:
    outbox = Sent()
    asyncio.run(run_for(50, fleet(SteppedClock(20.0), outbox)))
    sequence = [int(str(message["seq"])) for _, message in outbox.messages]
    assert len(sequence) > 20
    assert sequence == list(range(sequence[0], sequence[0] + len(sequence)))


def test_a_fleet_far_behind_its_clock_skips_ticks_and_counts_them() -> None:
    outbox = Sent()
    meters = fleet(SteppedClock(60.0 * 1000), outbox)
    asyncio.run(run_for(20, meters))
    sequence = [int(str(message["seq"])) for _, message in outbox.messages]
    assert sequence == sorted(set(sequence))
    gaps = sequence[-1] - sequence[0] + 1 - len(sequence)
    assert meters.skipped_ticks >= gaps > 0


def test_meters_of_one_building_share_its_load() -> None:
    outbox = Sent()
    meters = fleet(SteppedClock(1.0), outbox, "north", "south")
    tick = int(NOON.timestamp() // 60)
    meters.publish(tick)
    assert [topic for topic, _ in outbox.messages] == [
        "meters/fac-001/north/readings",
        "meters/fac-001/south/readings",
    ]
    total_kw = sum(float(str(message["kw"])) for _, message in outbox.messages)
    assert total_kw == pytest.approx(LoadModel("fac-001").load_kw(NOON), abs=0.01)
    assert {message["ts"] for _, message in outbox.messages} == {"2026-07-14T12:00:00Z"}


def test_a_fault_applies_to_its_building_and_phase_for_the_ordered_number_of_times() -> None:
    book = FaultBook(
        (
            FaultOrder(facility_id="a", kind="refuse", phase="commit", times=2),
            FaultOrder(facility_id="a", kind="lost_answer_once"),
            FaultOrder(facility_id="b", kind="time_out"),
        )
    )

    def taken(facility: str, phase: str) -> str | None:
        order = book.take(facility, phase)  # type: ignore[arg-type]
        return None if order is None else order.kind

    assert [taken("a", "commit") for _ in range(4)] == ["refuse", "refuse", "lost_answer_once", None]
    assert taken("c", "commit") is None
    assert [taken("b", phase) for phase in ("prepare", "status", "state")] == ["time_out"] * 3
    book.replace("b", ())
    assert taken("b", "prepare") is None


def test_recorded_readings_require_an_end_time_and_all_facilities(tmp_path: Path) -> None:
    portfolio = make_portfolio(2, bms_url="http://127.0.0.1:9000")
    path = tmp_path / "r.csv"
    path.write_text(
        "facility,timestamp,load_kwh\nfac-001,2019-01-01T00:00:00Z,5\nfac-001,2019-01-01T01:00:00Z,6\n"
    )
    with pytest.raises(InvalidWorld, match="readings_end_at"):
        load_sources(portfolio, readings=str(path))
    with pytest.raises(UnreadableReadings, match="fac-002"):
        load_sources(portfolio, readings=str(path), readings_end_at=NOON)
    one = msgspec.structs.replace(portfolio, facilities=portfolio.facilities[:1])
    source = load_sources(one, readings=str(path), readings_end_at=NOON)["fac-001"]
    # 2019-01-01 and NOON are both Tuesdays. The shifted recording ends at 02:00 of a Tuesday.
    loads = [source.load_kw(NOON + timedelta(days=day, hours=-11, minutes=5)) for day in range(-7, 8)]
    assert [load for load in loads if load is not None] == [6.0]


def test_the_start_and_end_of_a_silence_are_recorded() -> None:
    outbox, turns = Sent(), list[MeterTurn]()
    buildings = [
        MeteredBuilding(Building(name, (), record=lambda _: None), LoadModel(name), ("main",))
        for name in ("fac-001", "fac-002")
    ]
    during = TimeWindow(NOON + timedelta(minutes=2), NOON + timedelta(minutes=4))
    meters = MeterFleet(
        buildings,
        outbox=outbox,
        clock=SteppedClock(1.0),
        cadence_s=60.0,
        silences=[Silence(facility_id="fac-002", during=during)],
        record=turns.append,
    )
    noon = int(NOON.timestamp()) // 60
    for tick in range(noon, noon + 6):
        meters.publish(tick)
    heard = [str(message["ts"]) for topic, message in outbox.messages if "fac-002" in topic]
    assert heard == [f"2026-07-14T12:0{minute}:00Z" for minute in (0, 1, 4, 5)]
    assert len([topic for topic, _ in outbox.messages if "fac-001" in topic]) == 6
    assert [(turn.turn, turn.at) for turn in turns if turn.facility_id == "fac-002"] == [
        ("speaks", NOON),
        ("silent", during.starts_at),
        ("speaks", during.ends_at),
    ]
    counted = [float(str(m["kwh_total"])) for topic, m in outbox.messages if "fac-002" in topic]
    assert counted[2] - counted[1] > 2 * (counted[1] - counted[0]), (
        "the energy register advances during the silence"
    )


def test_skipped_ticks_are_recorded_as_silence_of_the_meters() -> None:
    outbox, turns = Sent(), list[MeterTurn]()
    building = Building("fac-001", (), record=lambda _: None)
    metered = MeteredBuilding(building, LoadModel("fac-001"), ("main",))
    meters = MeterFleet(
        [metered], outbox=outbox, clock=SteppedClock(3600.0), cadence_s=60.0, record=turns.append
    )
    asyncio.run(run_for(4, meters))
    assert meters.skipped_ticks > 0
    sent = [datetime.fromisoformat(str(message["ts"])) for _, message in outbox.messages]
    assert [turn.turn for turn in turns[:3]] == ["speaks", "silent", "speaks"]
    assert turns[0].at == sent[0]
    assert turns[1].at == sent[0] + timedelta(minutes=1)
    assert turns[2].at == sent[1]
