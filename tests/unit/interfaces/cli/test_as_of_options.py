"""Reads of DR events, facilities and the portfolio accept `as_of`, over HTTP and on the command line.

`as_of` is a time or a log position. The result must equal the result of the same read in a system whose log ends there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from types import SimpleNamespace
from typing import Any, NamedTuple

import click
import pytest
from click.testing import CliRunner
from litestar import Litestar
from litestar.testing import TestClient

from application.ports.event_store.event_log import LogEntry
from interfaces.cli import dr_events, main
from interfaces.cli.audit import commands as audit
from interfaces.cli.facilities import commands as facilities
from tests.fakes.clock import FakeClock
from tests.fakes.facility import FakeFacilityCoordinates
from tests.fakes.read_models import FakeReadModels
from tests.fakes.stream_log import FakeStreamLog
from tests.property.projections.projected_logs import PortfolioWalk
from tests.sample_values import NOW
from tests.unit.interfaces.web.declared_policies import POLICIES
from tests.unit.interfaces.web.edge import Edge

HTTP_READS = (
    "/api/dr-events",
    "/api/dr-events/{dr_event_id}",
    "/api/dr-events/{dr_event_id}/dispatches",
    "/api/dr-events/{dr_event_id}/measurements",
    "/api/dr-events/{dr_event_id}/measurements/{facility_id}",
    "/api/dr-events/{dr_event_id}/performance",
    "/api/dr-events/{dr_event_id}/performance/{facility_id}",
    "/api/dr-events/{dr_event_id}/callbacks",
    "/api/facilities",
    "/api/facilities/{facility_id}",
    "/api/portfolio",
    "/api/audit/dr-events/{dr_event_id}",
    "/api/audit/facilities/{facility_id}",
)
HTTP_OTHERWISE = {
    "/api/audit/administration": "each act has its position and moment; what came later is cut off by them",
    "/api/dr-events/{dr_event_id}/load": "its readings are as they are known today; test_summed_load.py has the rest",
    "/api/dr-events/{dr_event_id}/settlement": "needs documents: test_settlement.py in web/api",
    "/api/dr-events/{dr_event_id}/settlement/revisions": "the same",
    "/api/audit/dr-events/{dr_event_id}/proof": "it is of the newest checkpoint, and each row in it has its position",
}
SERVED = "fac-001"
CLI_READS = (("dr-events", "list"), ("dr-events", "show"), ("audit", "replay"), ("audit", "what-if"))
CLI_OTHERWISE = {
    ("audit", "administration"): "each act has its position and moment; what came later is cut off by them",
    ("dr-events", "override"): "writes",
    ("dr-events", "restored"): "writes",
    ("dr-events", "cancel"): "writes",
    ("audit", "export"): "each step has its position and moment; what came later is cut off by them",
    ("audit", "prove"): "it is of the newest checkpoint, and each row in it has its position",
    ("audit", "check"): "reads a file",
    ("audit", "verify"): "is about positions; --from and --to",
}


# ------------------------------------------------------------------------------------------ every read is listed


def test_every_read_over_http_takes_as_of() -> None:
    """A new read of a DR event needs `as_of: AsOfQuery` (interfaces/web/requests/as_of.py) and an entry above."""
    reads = {
        route.partition(" ")[2]
        for route in POLICIES
        if route.startswith("GET ") and ("dr-events" in route or "dr_event" in route)
    }
    assert reads == {path for path in (*HTTP_READS, *HTTP_OTHERWISE) if "dr-events" in path}
    with Edge().client() as client:
        paths = client.get("/schema/openapi.json").json()["paths"]
    for path in HTTP_READS:
        parameters = {parameter["name"] for parameter in paths[path]["get"].get("parameters", [])}
        assert "as_of" in parameters, path


def test_every_read_on_the_command_line_takes_as_of() -> None:
    """A new command that reads a DR event needs `--as-of` and an entry above."""
    found: dict[tuple[str, str], set[str]] = {}
    for group_name in ("dr-events", "audit"):
        group = main.get_command(click.Context(main), group_name)
        assert isinstance(group, click.Group)
        for name, command in group.commands.items():
            found[group_name, name] = {option for parameter in command.params for option in parameter.opts}
    assert set(found) == {*CLI_READS, *CLI_OTHERWISE}
    assert [path for path in CLI_READS if "--as-of" not in found[path]] == []


# ---------------------------------------------------------------------------------------- every read is correct


class ReadResult(NamedTuple):
    """The result of one read: whether it exists, and its document."""

    known: bool
    document: Any


class System:
    """A system over the given log entries."""

    def __init__(self, entries: list[LogEntry], still_open: ExitStack) -> None:
        self._open = still_open
        self.models, self.log = FakeReadModels(entries), FakeStreamLog(entries)

    @cached_property
    def _door(self) -> tuple[TestClient[Litestar], dict[str, str]]:
        edge = Edge(others={"stream_log": self.log})
        edge.read_models = self.models  # type: ignore[assignment]  # the real projections, in memory
        return self._open.enter_context(edge.client()), edge.key("admin")

    def over_http(self, path: str) -> ReadResult:
        client, key = self._door
        response = client.get(path, headers=key)
        assert response.status_code < 500
        assert response.status_code in (200, 404), f"as_of: {response.text}"
        return ReadResult(
            response.status_code == 200, response.json() if response.status_code == 200 else None
        )

    def on_the_command_line(self, *arguments: str) -> ReadResult:
        stores = SimpleNamespace(
            stream_log=lambda: self.log,
            read_models=lambda: self.models,
            facility_coordinates=FakeFacilityCoordinates,
            clock=FakeClock(NOW),
        )

        @contextmanager
        def opened() -> Iterator[Any]:
            yield stores

        with pytest.MonkeyPatch.context() as patch:
            for module in (dr_events, facilities, audit):
                patch.setattr(module, "opened_stores", opened)
            result = CliRunner().invoke(main, [*arguments, "--json"])
        assert result.exit_code in (0, 1), result.output
        return ReadResult(result.exit_code == 0, json.loads(result.stdout) if result.exit_code == 0 else None)


def http_read(path: str) -> Callable[[System, str | None], ReadResult]:
    def ask(system: System, as_of: str | None) -> ReadResult:
        return system.over_http(path + ("" if as_of is None else f"?as_of={as_of}"))

    return ask


def cli_read(*arguments: str) -> Callable[[System, str | None], ReadResult]:
    def ask(system: System, as_of: str | None) -> ReadResult:
        return system.on_the_command_line(*arguments, *(() if as_of is None else ("--as-of", as_of)))

    return ask


@pytest.fixture(scope="module")
def walk() -> PortfolioWalk:
    """One DR event that was measured and reported to the utility, and one that was cancelled."""
    made = PortfolioWalk()
    served = made.happy()
    made._tell(served, 0)
    made._tell(served, 0)
    other = made.open_dr_event()
    made.accept(other, 1)
    made._cancel(other)
    return made


READS: dict[str, Callable[[str], Callable[[System, str | None], ReadResult]]] = {
    **{
        f"GET {path}": lambda dr_event_id, path=path: http_read(
            path.format(dr_event_id=dr_event_id, facility_id=SERVED)
        )  # type: ignore[misc]
        for path in HTTP_READS
    },
    "dr-events list": lambda _: cli_read("dr-events", "list"),
    "dr-events show": lambda dr_event_id: cli_read("dr-events", "show", dr_event_id),
    "facilities list": lambda _: cli_read("facilities", "list"),
    "audit replay": lambda dr_event_id: cli_read("audit", "replay", dr_event_id),
}
"""`audit what-if` also asks for readings: tests/acceptance/cli/test_what_if.py."""


def _said(result: ReadResult) -> ReadResult:
    """The result without the fields that repeat the query."""
    if isinstance(result.document, dict):
        asked = {"as_of", "position"}
        return ReadResult(
            result.known, {name: value for name, value in result.document.items() if name not in asked}
        )
    return result


ASKED_ABOUT = (
    "dr-event.accepted.v1",
    "dispatch.committed.v1",
    "dr-event.completed.v1",
    "dr-event.cancelled.v1",
)


def positions(walk: PortfolioWalk) -> list[int]:
    """Both ends of the log, the first position of each topic, and the position before the first of them."""
    first: dict[str, int] = {}
    for entry in walk.entries:
        first.setdefault(entry.topic, entry.position)
    turning = [first[topic] for topic in ASKED_ABOUT]
    return sorted({0, walk.entries[-1].position, *turning, turning[0] - 1})


@pytest.fixture(scope="module")
def prefixes(walk: PortfolioWalk) -> Iterator[dict[int, System]]:
    with ExitStack() as still_open:
        yield {
            position: System([entry for entry in walk.entries if entry.position <= position], still_open)
            for position in positions(walk)
        }


@pytest.mark.parametrize("read", READS)
def test_a_read_as_of_a_position_equals_the_same_read_of_the_log_up_to_there(
    walk: PortfolioWalk, prefixes: dict[int, System], read: str
) -> None:
    head = walk.entries[-1].position
    now = prefixes[head]
    answers = []
    for dr_event in walk.dr_events:
        ask = READS[read](str(dr_event.id))
        for position, then in prefixes.items():
            answers.append(_said(ask(now, str(position))))
            assert answers[-1] == _said(ask(then, None)), position
        assert answers[-1] == _said(ask(now, None)), "as of the head equals no as_of"
    assert len({json.dumps(answer) for answer in answers}) > 2, "the past differs from the present"


@pytest.mark.parametrize("read", READS)
def test_a_read_as_of_a_time_equals_the_read_as_of_the_log_position_at_that_time(
    walk: PortfolioWalk, prefixes: dict[int, System], read: str
) -> None:
    now = prefixes[walk.entries[-1].position]
    ask = READS[read](str(walk.dr_events[0].id))
    for position in positions(walk)[1:]:
        entry = next(found for found in walk.entries if found.position >= position)  # positions may have gaps
        moment = entry.domain_event.recorded_at
        by_moment = ask(now, moment.isoformat().replace("+00:00", "Z"))
        assert _said(by_moment) == _said(ask(now, str(now.log.prefix_end(moment)))), moment


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize(
    "as_of", ["yesterday", "2026-07-14T21:00:00", "-1", "1.5", "9999-12-31T23:00:00-05:00"]
)
def test_an_as_of_that_is_neither_a_time_nor_a_position_is_refused(
    walk: PortfolioWalk, prefixes: dict[int, System], read: str, as_of: str
) -> None:
    with pytest.raises(AssertionError, match=r"as_of|--as-of"):
        READS[read](str(walk.dr_events[0].id))(prefixes[0], as_of)


@pytest.mark.parametrize("read", READS)
def test_a_position_beyond_the_end_of_the_log_is_reported_as_an_error(
    walk: PortfolioWalk, prefixes: dict[int, System], read: str
) -> None:
    head = walk.entries[-1].position
    assert not READS[read](str(walk.dr_events[0].id))(prefixes[head], str(head + 1)).known
