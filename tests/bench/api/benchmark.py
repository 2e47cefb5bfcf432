"""The read API under load: `gridproof serve` compared with a plain ASGI function and a FastAPI twin.

All three run on the same server software, database and cache in one run, with equal checks of keys and rates: 1,000
keys, looked up in PostgreSQL and cached for 5 s; rate limits of current values are counted in the cache. A separate
process makes the load over keep-alive connections. Contenders take turns. Each rate is the best of the rounds; each
latency, at half that rate, is the median of the rounds.
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from tests.bench.api.dr_events import store_dr_events
from tests.bench.api.load import LoadPlan, LoadReport
from tests.bench.api.load_process import load_process
from tests.bench.api.setup import ApiSetup, Server, open_api_setup
from tests.bench.environment import BenchEnvironment
from tests.bench.figures import Figure, figure
from tests.bench.generated_log import FACILITIES as IN_LOG

KEYS, FACILITIES, DR_EVENTS = 1_000, 100, 150
CONNECTIONS = 64
SECONDS, WARM_S, ROUNDS = 2.0, 0.4, 3
MIN_FULL_SCALE = 0.1
"""Below this scale the run is only a trial: fewer keys, few endpoints, short rounds. A key may read a facility once a
second, so keys times facilities must exceed the requests of all contenders in that time."""
TRIED = ("current, cached", "dr-event", "dr-events, not changed (304)", "audit of a DR event")
TWIN = "tests.bench.api.fastapi_twin"
GATHERING = "tests.bench.api.coalesced_floor"
FLOOR = "tests.bench.api.floor"


class Case(NamedTuple):
    """One endpoint."""

    name: str
    paths: tuple[str, ...]
    workers: int = 1
    sends_tags: bool = False
    is_never_fresh: bool = False
    floor: str = "the same statement, its JSON as PostgreSQL gives it"


def api(env: BenchEnvironment) -> Iterator[Figure]:
    """Requests per second at saturation of the API and both others, and the 99th percentile at half that rate."""
    is_whole = env.scale >= MIN_FULL_SCALE
    keys, facilities, dr_events = (KEYS, FACILITIES, DR_EVENTS) if is_whole else (500, 40, 3)
    env.report(f"api: {keys} keys, {facilities} facilities, {dr_events} DR events")
    with env.database() as database, ExitStack() as stack:
        stored = store_dr_events(database.app_url, dr_events)
        setup = stack.enter_context(
            open_api_setup(
                database, keys=keys, facilities=facilities, stored=stored, logged_facilities=IN_LOG
            )
        )
        ask = stack.enter_context(load_process())
        measuring, groups = Measuring(env, setup, ask), _cases(setup)
        if not is_whole:
            groups = [[case for case in groups[0] if case.name in TRIED]]
        for cases in groups:
            yield from measuring.measured(cases)


def _cases(setup: ApiSetup) -> list[list[Case]]:
    """The cases by group; each group runs on the same servers."""
    current = tuple(f"/api/facilities/{name}/current" for name in setup.facility_ids)
    dr_events = tuple(f"/api/dr-events/{dr_event_id}" for dr_event_id in setup.dr_event_ids)
    audits = tuple(f"/api/audit/dr-events/{dr_event_id}" for dr_event_id in setup.dr_event_ids[:20])
    turn_and_value = "SET NX PX and GET in one pipeline, decoded"
    return [
        [
            Case("current, cached", current, floor=turn_and_value),
            Case("portfolio", ("/api/portfolio",)),
            Case("dr-event", dr_events),
            Case("dr-events, a page of 100", ("/api/dr-events",)),
            Case("dr-events, not changed (304)", ("/api/dr-events",), sends_tags=True),
            Case("facilities, a page of 100", ("/api/facilities",)),
            Case("audit of a DR event", audits, floor="the same rows of the log, not folded"),
        ],
        [
            Case("current, cached, 2 workers", current, workers=2, floor=turn_and_value),
            Case("dr-events, a page of 100, 2 workers", ("/api/dr-events",), workers=2),
        ],
        [
            Case(
                "current, not cached",
                current,
                is_never_fresh=True,
                floor=f"{turn_and_value}; its newest reading by one statement, and SET",
            )
        ],
    ]


class Measuring:
    """Measures rates and latencies; `ask` executes a load plan."""

    def __init__(self, env: BenchEnvironment, setup: ApiSetup, ask: Callable[[LoadPlan], LoadReport]) -> None:
        self._bed = env
        self._stage = setup
        self._ask = ask
        self._query = 0
        is_whole = env.scale >= MIN_FULL_SCALE
        self._seconds = SECONDS * env.scale if is_whole else 0.1
        self._warm_s = WARM_S if is_whole else 0.05
        self._rounds = 1 if not is_whole else ROUNDS if env.scale >= 0.5 else 2

    def measured(self, cases: list[Case]) -> Iterator[Figure]:
        with self._servers(cases[0].workers, is_never_fresh=cases[0].is_never_fresh) as servers:
            for case in cases:
                self._bed.report(f"api: {case.name}")
                yield self.figure_of(case, servers)

    @contextmanager
    def _servers(self, workers: int, *, is_never_fresh: bool) -> Iterator[Mapping[str, Server]]:
        """Start the contenders; yields them by name."""
        setup = self._stage
        contenders = {
            "ours": setup.door(workers=workers, is_never_fresh=is_never_fresh),
            "floor": setup.plain(FLOOR, workers=workers, is_never_fresh=is_never_fresh),
        }
        if importlib.util.find_spec("fastapi") is not None:
            contenders["twin"] = setup.plain(TWIN, workers=workers, is_never_fresh=is_never_fresh)
        if not is_never_fresh:
            contenders["gathering"] = setup.plain(GATHERING, workers=workers)
        with ExitStack() as stack, ThreadPoolExecutor(len(contenders)) as pool:
            started = pool.map(stack.enter_context, contenders.values())
            yield dict(zip(contenders, started, strict=True))

    def figure_of(self, case: Case, servers: Mapping[str, Server]) -> Figure:
        """The best round of each contender, and the refused requests of all rounds."""
        best: dict[str, LoadReport] = {}
        cpu_us: dict[str, float] = {}
        refused, statuses = Counter[str](), Counter[str]()
        if not case.name.startswith("current"):
            servers = {name: server for name, server in servers.items() if name != "gathering"}
        for server in servers.values():
            self._load(case, server, seconds=self._warm_s)
        for _ in range(self._rounds):
            for name, server in servers.items():
                cpu_before_s = server.cpu_s()
                report = self._load(case, server, seconds=self._seconds)
                refused[name] += _refused(report)
                if name == "ours":
                    statuses.update(report.statuses)
                if name not in best or _rate(report) > _rate(best[name]):
                    best[name] = report
                    cpu_us[name] = 1e6 * (server.cpu_s() - cpu_before_s) / max(1, report.answered)
        half: dict[str, list[LoadReport]] = {"ours": [], "floor": []}
        for _ in range(self._rounds):
            for name, reports in half.items():
                rate_per_s = _rate(best[name]) / 2
                report = self._load(case, servers[name], seconds=self._seconds, rate_per_s=rate_per_s)
                refused[name] += _refused(report)
                reports.append(report)
        answers: dict[str, float | str] = {
            "not 200": refused["ours"],
            "floor not 200": refused["floor"],
            "twin not 200": refused["twin"],
            "gathering not 200": refused["gathering"],
            "statuses": ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items())),
        }
        return _figure(case, best, cpu_us, half, answers | {"cache": self._stage.cache})

    def _load(
        self, case: Case, server: Server, *, seconds: float, rate_per_s: float | None = None
    ) -> LoadReport:
        plan = LoadPlan(
            ports=server.ports,
            tokens=self._stage.tokens,
            paths=case.paths,
            first=self._query,
            seconds=seconds,
            connections=CONNECTIONS,
            rate_per_s=rate_per_s,
            sends_tags=case.sends_tags,
        )
        report = self._ask(plan)
        self._query += sum(report.statuses.values())
        if not report.answered:
            raise RuntimeError(f"{case.name}: {server} answered nobody: {report.statuses}")
        return report


def _rate(report: LoadReport) -> float:
    return report.answered / report.elapsed_s


def _figure(
    case: Case,
    best: Mapping[str, LoadReport],
    cpu_us: Mapping[str, float],
    at_half: Mapping[str, list[LoadReport]],
    others: Mapping[str, float | str],
) -> Figure:
    ours, floor, twin = best["ours"], best["floor"], best.get("twin")
    half, floor_half = (_middle(at_half[name]) for name in ("ours", "floor"))
    details: dict[str, float | str] = {
        "p99_ms at saturation": round(ours.p99_ms, 2),
        "p50_ms at half of it": round(half.p50_ms, 2),
        "p99_ms at half of it": round(half.p99_ms, 2),
        "its worst round": round(max(report.p99_ms for report in at_half["ours"]), 2),
        "floor that gathers as we do": _rate(best["gathering"]) if "gathering" in best else "",
        "ratio to that": round(_rate(ours) / _rate(best["gathering"]), 3) if "gathering" in best else "",
        "its cpu us": round(cpu_us.get("gathering", 0.0), 1),
        "floor p99_ms at half of its own": round(floor_half.p99_ms, 2),
        "sent late there, p99_ms": round(half.sent_late_p99_ms, 2),
        "twin": "FastAPI is not installed (the extra `bench`): not measured"
        if twin is None
        else round(_rate(twin), 1),
        "ratio to the twin": "" if twin is None else round(_rate(ours) / _rate(twin), 3),
        "server cpu us": round(cpu_us["ours"], 1),
        "floor cpu us": round(cpu_us["floor"], 1),
        "twin cpu us": round(cpu_us.get("twin", 0.0), 1),
        "cpu share of the load": round(max(report.cpu_share for report in best.values()), 2),
        "bytes an answer": round(ours.bytes_each),
        "floor bytes an answer": round(floor.bytes_each),
        "floor": f"plain ASGI on the same server: {case.floor}",
        **others,
    }
    return figure(
        f"api, {case.name}", unit="requests/s", ours=_rate(ours), floor=_rate(floor), details=details
    )


def _middle(reports: list[LoadReport]) -> LoadReport:
    """The median round by p99: a single stall of the machine can spoil a round of 2 s."""
    return sorted(reports, key=lambda report: report.p99_ms)[len(reports) // 2]


def _refused(report: LoadReport) -> int:
    return sum(report.statuses.values()) - report.answered
