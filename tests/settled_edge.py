"""An edge over a settled DR event of two facilities in memory, with a key of every kind."""

from __future__ import annotations

from functools import partial
from typing import Any

import httpx

from domain.program.settlement_rule import Capacity, Energy, SettlementRule
from tests.fakes.read_models import FakeReadModels
from tests.fakes.stream_log import FakeStreamLog
from tests.in_process_system import InProcessSystem
from tests.sample_values import CONTEXT, DR_EVENT_ID, PROGRAM, STARTS_AT, UTILITY
from tests.settled_system import MEASURE, completed, measured_as
from tests.tenant_system import stored_program
from tests.unit.interfaces.web.edge import Edge

RULE = SettlementRule(
    currency="USD", energy=Energy(rate="1.50"), capacity=Capacity(rate="2.00", unit="kw-month"), share="0.5"
)
PATH = f"/api/dr-events/{DR_EVENT_ID}/settlement"
MONTH = f"{STARTS_AT:%Y-%m}"
PROGRAM_MONTH = f"/api/programs/{PROGRAM}/statements/{MONTH}"
FACILITY_MONTH = f"/api/facilities/fac-001/statements/{MONTH}"


class SettledEdge:
    """An edge over a DR event in memory. fac-001 sheds 60 kW and fac-002 44.5 kW for two hours."""

    def __init__(self, there: InProcessSystem) -> None:
        self.there = there
        self.edge = edge = Edge()
        edge.clock = there.scenario.clock  # type: ignore[assignment]
        edge.commands = self  # type: ignore[assignment]
        self.log, self.models = FakeStreamLog(), FakeReadModels()
        edge.read_models = self.models  # type: ignore[assignment]
        edge.others = {
            "stream_log": self.log,
            "settlements": there.scenario.settlements,
            "program": partial(stored_program, there.scenario.store),
        }
        self.keys = {
            "operator": edge.key("operator"),
            "auditor": edge.key("auditor"),
            "dashboard": edge.key("dashboard"),
            "utility": edge.key("utility", utility=UTILITY),
            "another": edge.key("utility", utility="somebody-else"),
            "owner": edge.key("owner", facility="fac-001"),
            "of_facility": edge.key("dashboard", facility="fac-001"),
            "elsewhere": edge.key("owner", facility="fac-003"),
        }
        self.fold()

    def handle(self, command: Any, context: Any, *, reply_type: Any = None, **_: Any) -> Any:
        try:
            return self.there.scenario.bus.handle(command, context, reply_type=reply_type)
        finally:
            self.fold()

    def do(self, *commands: Any) -> None:
        for command in commands:
            self.handle(command, CONTEXT)

    def fold(self) -> None:
        entries = self.there.scenario.store.read_after(self.log.head(), 100_000)
        self.models.fold(entries)
        self.log.entries += FakeStreamLog(entries).entries

    def get(self, client: Any, path: str, who: str = "operator", **headers: str) -> httpx.Response:
        response: httpx.Response = client.get(path, headers=self.keys[who] | headers)
        return response


def ran(rule: SettlementRule | None = RULE, **details: Any) -> InProcessSystem:
    return completed(rule, **details)


def measured(there: InProcessSystem, *, others_kw: float = 455.5, **of_own: Any) -> InProcessSystem:
    """`of_own`: figures of fac-001."""
    there.scenario.after(measured_as("fac-001", 440.0, **of_own), measured_as("fac-002", others_kw), MEASURE)
    return there
