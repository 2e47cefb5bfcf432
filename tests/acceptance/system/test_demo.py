"""The demo end to end, as a new user runs it, and with planted faults that make it fail."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from interfaces.simulators.meters.load_model import LoadModel
from tests.demo_runs import SMALL, DemoRun, DemoRuns, run_planted_demo
from tests.observed_demo import NOTIFICATION, PICTURES, DemoObserver, observing
from tests.prometheus_server import queries
from tests.trace_picture import drawn, path_to_root, paths

PLANTED = {
    "resend": "duplicate BMS command",
    "skip-intent": "action without a recorded intent",
    "skip-restore": "building left curtailed",
    "lost-callback": "lost callback",
}
FOLLOWS = {"skip-intent": {"resend"}}
"""Faults that may follow from a fault: without the record that a command was sent, it is sent again."""
TOGETHER = (("resend", "skip-restore"), ("skip-intent", "lost-callback"))
"""Faults planted together in one run; neither follows from the other."""
WITHOUT_DATA = {
    "dr-events: Duration of notifications": "the demo has two requests, which are no rate",
    "gridproof_dependency_up) == 0": "everything is in reach",
    "gridproof_bms_breaker_open": "only a breaker that has opened has a series",
    "gridproof_http_connections_refused_total": "no connection is refused",
    "gridproof_telemetry_write_error_pct": "too few writes for a share",
    "gridproof_telemetry_query_p99_seconds": "too few queries for a percentile",
}
"""Queries that are empty in the demo, and why."""
HALF = ("--shed-factor", "0.5")
WITHOUT_METERS = (*SMALL, "--without-meters")


def planted(faults: tuple[str, ...]) -> tuple[str, ...]:
    return (*SMALL, *(word for fault in faults for word in ("--fault", fault)))


@pytest.fixture(scope="module")
def readings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A readings file with eight weeks of hourly load of six buildings."""
    path = tmp_path_factory.mktemp("readings") / "hourly.csv"
    starts_at = datetime(2018, 5, 1, tzinfo=UTC)
    lines = ["facility,timestamp,load_kwh,temp_c"]
    for number in range(6):
        source = LoadModel(f"school-{number}", tz="Europe/London", weather_cell="london")
        loads = source.mean_load_kw(starts_at, 3600, 24 * 70)
        for hour, load_kw in enumerate(loads):
            at = starts_at + timedelta(hours=hour)
            lines.append(f"school-{number},{at.isoformat()},{load_kw:.3f},{source.temperature_c(at):.1f}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def recorded(readings: Path) -> tuple[str, ...]:
    """A demo with recorded load; in the demos of the killed workers and of the page a model generates it."""
    return (*SMALL, "--readings", str(readings))


@pytest.fixture(scope="module")
def in_folder(recorded: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The same with a data folder, in which its proof stays, and a corrected reading after the settlement."""
    return (*recorded, "--resettle", "--data-dir", str(tmp_path_factory.mktemp("recorded") / "data"))


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoObserver]:
    """Observes the run in a folder."""
    with observing(tmp_path_factory.mktemp("observed")) as observed:
        yield observed


@pytest.fixture(scope="module")
def demos(
    recorded: tuple[str, ...], in_folder: tuple[str, ...], observed: DemoObserver
) -> Iterator[DemoRuns]:
    runs = DemoRuns()
    runs.start(*in_folder, settings=observed.settings)
    runs.start(*recorded, *HALF)
    for faults in TOGETHER:
        runs.start_planted(*planted(faults))
    runs.start(*WITHOUT_METERS)
    yield runs
    runs.close()


def test_the_demo_succeeds_with_recorded_load_while_another_demo_runs(
    demos: DemoRuns, in_folder: tuple[str, ...]
) -> None:
    run = demos.start(*in_folder).result()
    assert run.faults == [], run.said
    assert run.status == 0
    document = run.document
    assert document["status"] == "completed"
    assert document["outcome"] == "partial"
    assert document["settlement_status"] == "resettled"
    assert document["facilities"] == {"asked": 4, "committed": 2, "failed": 2, "restored": 2}
    assert set(document["failed_facilities"]) == {"school-0", "school-1"}
    assert document["duplicate_bms_commands"] == 0
    assert document["curtailed_after_end"] == 0
    ledger = document["ledger"]
    assert ledger["verified"] is True
    assert ledger["domain_events"] >= document["domain_events"] > 0
    assert ledger["checkpoints"] > 1
    assert document["delivered_kw"] > 0
    proof = document["proof"]
    assert (proof["holds"], proof["equal"], proof["differs"], proof["not_recomputed"]) == (True, 2, 0, 0)
    assert proof["recomputed"] == "recomputed 2 measurements of 4 facilities: all equal"
    assert Path(proof["file"]).is_file()
    assert proof["file"].endswith("/demo.proof.json")
    assert proof["recomputed"] in run.said.splitlines()
    assert "Timeline" in run.said


def test_the_demo_is_settled_and_a_corrected_reading_settles_it_again(
    demos: DemoRuns, in_folder: tuple[str, ...]
) -> None:
    run = demos.start(*in_folder).result()
    settlement = run.document["settlement"]
    assert (settlement["status"], settlement["revision"], settlement["problems"]) == ("settled", 1, [])
    lines, changes = settlement["lines"], settlement["changes"]
    assert {line["component"] for line in lines} == {"capacity", "energy", "penalty"}
    assert sum(Decimal(line["amount"]) for line in lines) == Decimal(settlement["total"])
    assert {change["unit"] for change in changes} == {"school-2"}
    difference = Decimal(settlement["difference"])
    assert sum(Decimal(change["difference"]) for change in changes) == difference < 0
    amounts = {reason["why"]: Decimal(reason["amount"]) for reason in settlement["by_reason"]}
    assert {why: amount for why, amount in amounts.items() if amount} == {"meter": difference}
    assert f"because of meter: {difference:,} USD" in run.said
    assert "Settlement, revision 1" in run.said
    proof = run.document["proof"]
    assert (proof["holds"], proof["total"]) == (True, settlement["total"])
    assert (
        proof["settlement"] == f"recomputed 2 settlements: all equal; revision 1: {settlement['total']} USD"
    )
    assert proof["settlement"] in run.said.splitlines()


def test_one_trace_of_the_dr_event_goes_through_five_kinds_of_process(
    demos: DemoRuns, in_folder: tuple[str, ...], observed: DemoObserver
) -> None:
    """From the webhook to the last callback; each span names its parent, in whichever process that is."""
    demos.start(*in_folder).result()
    spans = observed.dr_event()
    by_id = {span.span_id: span for span in spans}
    ends = [path_to_root(span, by_id) for span in spans]
    linked = [path for path in ends if path[-1].name == NOTIFICATION]
    assert {path[0].process for path in linked} >= {
        "web", "decide", "dispatch", "watch", "compute",
    }  # fmt: skip
    assert len({path[0].instance for path in linked}) >= 5
    [*_, last] = sorted(
        (path for path in linked if path[0].name == "POST callback"), key=lambda p: p[0].started_ns
    )
    names = [span.name for span in reversed(last)]
    steps = [NOTIFICATION, "command ", "save ", "callback ", "POST callback"]
    assert [next(name for name in names if name.startswith(step)) for step in steps]
    calls = [path for path in linked if path[0].name.startswith("SOAP ")]
    assert calls
    assert all({"web", "decide", "dispatch"} <= {span.process for span in path} for path in calls)
    sys.stdout.write(
        f"{len(spans)} spans of {len({span.instance for span in spans})} processes, {len(linked)} of them below the "
        f"webhook's request; {len(last)} spans to the last callback\n"
    )
    picture = paths(
        [path[0] for path in linked],
        (
            lambda span: span.name == "POST callback",
            lambda span: span.name.startswith("SOAP ") and not span.failed,
            lambda span: span.process == "compute",
        ),
    )
    PICTURES.mkdir(parents=True, exist_ok=True)
    (PICTURES / "trace.svg").write_text(drawn(picture, "One trace of a DR event, from the webhook on"))


def test_telemetry_has_spans_of_batches_and_none_of_a_message_or_reading(
    demos: DemoRuns, in_folder: tuple[str, ...], observed: DemoObserver
) -> None:
    demos.start(*in_folder).result()
    published = {s.span_id: s for s in observed.sink.spans if s.process == "ingest"}
    stored = [span for span in observed.sink.spans if span.process == "aggregate"]
    assert {span.name for span in published.values()} == {"publish telemetry batch"}
    assert {span.name for span in stored} == {"store telemetry batch"}
    assert sum(int(span.attributes["gridproof.messages"]) for span in published.values()) >= len(published)
    linked = [span for span in stored if span.parent_id in published]
    assert linked
    assert all(span.trace_id == published[span.parent_id].trace_id for span in linked)


def test_log_lines_of_dispatch_name_trace_dr_event_and_facility(
    demos: DemoRuns, in_folder: tuple[str, ...], observed: DemoObserver
) -> None:
    demos.start(*in_folder).result()
    trace_id = observed.dr_event()[0].trace_id
    logs = Path(in_folder[-1]) / "logs"
    lines = [line for file in logs.glob("dispatch-*.log") for line in file.read_text().splitlines()]
    failed = [line for line in lines if "bms call failed" in line]  # one BMS times out
    assert failed
    for line in failed:
        assert f"trace_id={trace_id}" in line, line
        assert "dr_event=" in line, line
        assert "facility=school-" in line, line


def test_every_query_of_the_dashboards_returns_data(
    demos: DemoRuns,
    in_folder: tuple[str, ...],
    observed: DemoObserver,
    debian_command: Callable[[str], Path],
) -> None:
    debian_command("prometheus")
    demos.start(*in_folder).result()
    assert observed.metrics is not None
    now_s, empty = time.time(), []
    for query, place in queries().items():
        if not observed.metrics.has_values(query, from_s=observed.began_s, until_s=now_s):
            empty.append(f"{place}: {query}")
    assert [one for one in empty if not any(name in one for name in WITHOUT_DATA)] == []


def test_halving_the_curtailment_of_the_zones_halves_the_delivered_reduction(
    demos: DemoRuns, in_folder: tuple[str, ...], recorded: tuple[str, ...]
) -> None:
    whole, half = demos.start(*in_folder).result(), demos.start(*recorded, *HALF).result()
    assert half.status == 0, half.said
    assert half.document["delivered_kw"] == pytest.approx(whole.document["delivered_kw"] / 2, rel=0.15)


def fails_and_is_named(run: DemoRun, faults: tuple[str, ...]) -> None:
    assert run.status == 1
    named = {fault for fault, name in PLANTED.items() if any(name in said for said in run.faults)}
    may_follow = set().union(*(FOLLOWS.get(fault, set()) for fault in faults))
    assert named - may_follow == set(faults), run.faults


@pytest.mark.parametrize("faults", TOGETHER, ids="+".join)
def test_planted_faults_fail_the_demo_and_exactly_these_are_named(
    demos: DemoRuns, faults: tuple[str, ...]
) -> None:
    fails_and_is_named(demos.start_planted(*planted(faults)).result(), faults)


@pytest.mark.chaos
@pytest.mark.parametrize("fault", PLANTED)
def test_each_single_planted_fault_fails_the_demo_and_only_that_fault_is_named(fault: str) -> None:
    fails_and_is_named(run_planted_demo(*planted((fault,))), (fault,))


def test_without_telemetry_planning_is_refused_and_no_building_is_commanded(demos: DemoRuns) -> None:
    run = demos.start(*WITHOUT_METERS).result()
    assert run.status == 1
    assert run.document["outcome"] == "failed"
    assert run.document["facilities"] == {"asked": 4, "committed": 0, "failed": 4, "restored": 0}
    assert all("no forecast" in why for why in run.document["failed_facilities"].values())
