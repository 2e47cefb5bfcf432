"""Two utilities on one system in memory: the HTTP edge over the real write side, saga, relay and projections.

with TenantSystem(entries=(...), programs=(...)) as system:
    system.post(OWN, event_id="U-1", facility_ids=["fac-001"])
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta
from functools import partial
from types import SimpleNamespace, TracebackType
from typing import Any, Self, cast

import httpx
import msgspec
from litestar.testing import TestClient

from application.access.daily_quota import DailyQuotas
from application.command_bus.decision_context import CommandContext, IdempotencyKey
from application.commands.facility import RegisterFacility
from application.commands.program import AgreeProgram
from application.facility.portfolio_entries import FacilityEntry, ProgramEntry
from application.ledger.proof import NotProvable
from application.ports.event_store.event_store import StreamNotFound
from domain.identifiers import program_stream_id
from domain.program import Program, ProgramState
from domain.telemetry.meter_reading import MeterReading
from projections.audit.stream_log import StreamEntry
from tests.fakes.access.daily_usage import FakeDailyUsage
from tests.fakes.event_store.event_store import FakeEventStore
from tests.fakes.forecast.past_forecasts import FakePastForecasts
from tests.fakes.forecast.scores import FakeForecastScores
from tests.fakes.operations.dead_letters import FakeDeadLetters
from tests.fakes.read_models import FakeReadModels
from tests.fakes.stream_log import FakeStreamLog
from tests.fakes.telemetry.meter_powers import FakeMeterPowers
from tests.fakes.telemetry.rollups import FakeTelemetryRollups
from tests.fakes.telemetry.store import FakeTelemetryStore
from tests.given_when_then import given
from tests.in_process_system import FORECAST_CYCLES, InProcessSystem
from tests.sample_values import CONTEXT, ENDS_AT, PROGRAM, STARTS_AT, UTILITY, forecast
from tests.unit.interfaces.web.edge import WEBHOOK, Edge

OWN, OTHER = UTILITY, "util-2"
OTHER_PROGRAM = "winter-peak"


class TenantSystem:
    """`entries` and `programs` are registered first; every facility has forecasts, none has a reading."""

    def __init__(
        self,
        *,
        entries: Iterable[FacilityEntry],
        programs: Iterable[ProgramEntry],
        **edge: Any,
    ) -> None:
        scenario, facilities = given(), tuple(entries)
        scenario.after(*(AgreeProgram(entry=entry) for entry in programs))
        scenario.after(*(RegisterFacility(entry=entry) for entry in facilities))
        for cycle in FORECAST_CYCLES:
            scenario.with_forecasts(*(forecast(entry.facility_id, at=cycle) for entry in facilities))
        self.world = InProcessSystem(scenario, facilities)
        self.scenario, self.clock = scenario, scenario.clock
        self.models, self.log = FakeReadModels(), FakeStreamLog()
        self.telemetry, self.usage = FakeTelemetryStore(), FakeDailyUsage()
        self.past_forecasts = FakePastForecasts()
        self.edge = Edge(**edge)
        self.edge.clock = cast("Any", self.clock)
        self.edge.commands = cast("Any", self)
        self.edge.read_models = cast("Any", self.models)
        self.edge.others = {
            "stream_log": self.log,
            "dead_letters": FakeDeadLetters(),
            "telemetry": self.telemetry,
            "rollups": FakeTelemetryRollups(self.telemetry, self.edge.clock),
            "meter_powers": FakeMeterPowers(self.telemetry),
            "past_forecasts": self.past_forecasts,
            "forecast_scores": FakeForecastScores(),
            "settlements": scenario.settlements,
            "program": partial(stored_program, scenario.store),
            "ledger": SimpleNamespace(status=_not_sealed, proof=_not_sealed, consistency=_not_sealed),
            "known_programs": dict.fromkeys,
        }
        self.keys = {utility: self.edge.key("utility", utility=utility) for utility in (OWN, OTHER)}
        self._client: Any = None
        self._ids: Counter[str] = Counter()
        self._writes = 0
        self.fold()

    def with_quotas(self, *, stored_bytes: int = 1 << 40, unknown_cancellations: int = 1 << 40) -> Self:
        self.edge.others["quotas"] = DailyQuotas(
            self.usage,
            cast("Any", self.clock),
            most={"stored_bytes": stored_bytes, "unknown_cancellations": unknown_cancellations},
        )
        return self

    def __enter__(self) -> Self:
        self._client = self.edge.client()
        self.client: TestClient[Any] = self._client.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.__exit__(kind, error, trace)

    def handle(
        self,
        command: msgspec.Struct,
        context: CommandContext,
        *,
        key: IdempotencyKey | None = None,
        reply_type: Any = None,
        admit: Callable[[], None] | None = None,
    ) -> Any:
        """The command bus of the edge. Read models follow at once."""
        try:
            return self.scenario.bus.handle(command, context, key=key, reply_type=reply_type, admit=admit)
        finally:
            self.fold()

    def fold(self) -> None:
        entries = self.scenario.store.read_after(self.log.head(), 1_000_000)
        self.models.fold(entries)
        self.log.entries += [StreamEntry(entry.position, entry.domain_event) for entry in entries]

    def settle(self) -> Self:
        """Relay and carry out what is recorded, callbacks included."""
        self.world.settle()
        self.fold()
        return self

    def do(self, *commands: msgspec.Struct, at: datetime | None = None) -> Self:
        """Commands that the schedule or an operator gives, and what follows from them."""
        if at is not None:
            self.scenario.at(at)
        for command in commands:
            self.handle(command, CONTEXT)
        return self.settle()

    def post(self, utility: str, **changes: Any) -> httpx.Response:
        """A notification; by default over the window of sample_values, of the utility's own program."""
        body = {**self.notification(utility), "notification_id": self._unused_id(utility), **changes}
        return self.ask("POST", WEBHOOK, utility, json=body)

    def change(self, utility: str, event_id: str, **changes: Any) -> httpx.Response:
        ids = {"event_id": event_id, "notification_id": self._unused_id(utility)}
        body = {**self.notification(utility), **ids, **changes}
        return self.ask("PATCH", f"{WEBHOOK}/{event_id}", utility, json=body)

    def cancel(self, utility: str, event_id: str, query: str = "") -> httpx.Response:
        return self.ask("DELETE", f"{WEBHOOK}/{event_id}{query}", utility)

    def get(self, utility: str, path: str) -> httpx.Response:
        return self.ask("GET", path, utility)

    def ask(self, method: str, path: str, utility: str, *, json: Any = None) -> httpx.Response:
        response: httpx.Response = self.client.request(method, path, headers=self.keys[utility], json=json)
        return response

    def _unused_id(self, utility: str) -> str:
        self._ids[utility] += 1
        return f"n-{self._ids[utility]}"

    @staticmethod
    def notification(utility: str) -> dict[str, Any]:
        return {
            "notification_id": "n-1",
            "event_id": "U-1",
            "program": PROGRAM if utility == OWN else OTHER_PROGRAM,
            "starts_at": STARTS_AT.isoformat(),
            "ends_at": ENDS_AT.isoformat(),
            "target_reduction_kw": 10,
            "facility_ids": ["fac-001"],
            "callback_url": "https://utility.example/callbacks",
        }

    def measure(self, facility_id: str, kw: float, *, hours: int = 3) -> None:
        """A reading each minute of the last hours."""
        now = self.clock.now()
        readings = [
            MeterReading(facility_id, "main", now - timedelta(minutes=minute), kw, None)
            for minute in range(1, hours * 60)
        ]
        self._writes += 1
        self.telemetry.write_readings(0, self._writes, readings)

    def reasons(self, response: httpx.Response) -> Collection[tuple[str, str | None]]:
        """(code, facility) of a problem."""
        return [(reason["code"], reason.get("facility_id")) for reason in response.json()["reasons"]]


def stored_program(store: FakeEventStore, program_id: str) -> ProgramState | None:
    """None: there is none."""
    try:
        return store.load(Program, program_stream_id(program_id)).state
    except StreamNotFound:
        return None


def _not_sealed(*_: Any) -> Any:
    raise NotProvable("nothing is sealed yet")
