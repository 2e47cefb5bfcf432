"""No callback address and no coordinate stands in the log; the tables that hold them can forget (L7)."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest

from adapters.callback import BREAKER_FAILURES, HttpUtilityNotifier
from application.callback import FORGOTTEN, CallbackCalls
from application.event_store.event_mapper import encode_state
from application.facility.portfolio_entries import FacilityEntry, Portfolio
from application.facility.portfolio_validation import STRICTEST_RULES, PortfolioInvalid, check_references
from application.operations.portfolio_import import PortfolioTarget, import_portfolio
from application.ports.callback import CallbackAccepted, CallbackFailed
from application.ports.dispatch.open_work import OpenWork
from application.ports.dispatch.requested_work import CallbackWork
from application.ports.failpoints import no_failpoint
from application.weather.cell_location import WeatherPlace, places_of
from domain.administration import AdministrativeAct
from domain.dr_event import DREvent
from domain.facility import Coordinates
from interfaces.bootstrap.weather import places_of_cells
from interfaces.web.api.webhook.callback_ids import CACHED_S, CallbackIds
from interfaces.web.caching.coordinates import REFRESH_S, CoordinatesCache, StoredCoordinates
from projections.facility import with_coordinates
from projections.queries.views import all_rows
from tests.fakes.callback import FakeCallbackAddresses
from tests.fakes.facility import FakeFacilityCoordinates, FakeUtilities
from tests.fakes.operations.act_log import FakeActLog
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.operations.dead_letters import FakeDeadLetters
from tests.fakes.read_models import FakeReadModels
from tests.given_when_then import Scenario
from tests.sample_values import NOW, UTILITY, facility_entry, program_entry, provenance
from tests.tenant_system import OWN, TenantSystem
from tests.unit.interfaces.web.edge import Edge

TOKEN = "t0ps3cret"
URL = f"https://hooks.utility.example/cb?token={TOKEN}"


class Notifier:
    def __init__(self) -> None:
        self.called: list[str] = []

    async def send(self, utility_id: str, url: str, body: str, callback_id: UUID, trace_id: str) -> Any:
        self.called.append(url)
        return CallbackAccepted(status_code=200)

    async def aclose(self) -> None:
        self.called = []


class Rig:
    """A system whose webhook records the ids of callback addresses, and the end of the watch worker."""

    def __init__(self) -> None:
        self.addresses, self.notifier = FakeCallbackAddresses(), Notifier()
        self.letters, self.alerts = FakeDeadLetters(), FakeAlertRegistry()
        self.system = TenantSystem(entries=[facility_entry("fac-001")], programs=[program_entry()])
        self.system.edge.others["callback_ids"] = CallbackIds(self.addresses)
        self.calls = CallbackCalls(
            store=self.system.scenario.store,
            event_log=self.system.scenario.store,
            rows=self.system.scenario.store.open_work,
            bus=self.system.scenario.bus,
            notifier=self.notifier,
            addresses=self.addresses,
            clock=self.system.clock,
            reached=no_failpoint,
        )

    def recorded(self) -> str:
        """Every domain event, as it is stored."""
        return "\n".join(encode_state(one).decode() for one in self.system.scenario.store.domain_events)

    def intents(self) -> list[DREvent.CallbackRequested]:
        recorded = self.system.scenario.store.domain_events
        return [one for one in recorded if isinstance(one, DREvent.CallbackRequested)]

    def is_over(self, work: CallbackWork) -> bool:
        """Carry it out once; whether it need not be tried again."""
        row = OpenWork(number=1, kind="callback", queue=OWN, position=1, tries=1, holder=1)
        return asyncio.run(self.calls.carry_out(work, row)) is None

    def outcomes(self, work: CallbackWork) -> list[str]:
        recorded = self.system.scenario.store.domain_events
        of_it = [one for one in recorded if getattr(one, "callback_id", None) == work.callback_id]
        return [getattr(one, "reason", type(one).__name__) for one in of_it[1:]]


def test_no_recorded_event_of_a_notification_holds_its_callback_address() -> None:
    rig = Rig()
    with rig.system as system:
        assert system.post(OWN, event_id="ACCEPTED", callback_url=URL).status_code == 202
        assert system.post(OWN, event_id="REFUSED", callback_url=URL, program="none").status_code == 422
        changed = system.change(OWN, "ACCEPTED", callback_url=URL, modification_number=1, priority=2)
        assert changed.status_code == 202
        system.settle()
    recorded = rig.recorded()
    assert "hooks.utility.example" not in recorded
    assert TOKEN not in recorded
    works = [CallbackWork.of(intent) for intent in rig.intents()]
    assert {work.kind for work in works} >= {"accepted", "rejected", "modified"}
    assert TOKEN not in "".join(work.body for work in works)
    # And each of them goes where the utility wants it.
    assert all(rig.is_over(work) for work in works)
    assert rig.notifier.called == [URL] * len(works)


def test_the_callback_of_a_forgotten_address_is_recorded_as_undeliverable() -> None:
    rig = Rig()
    with rig.system as system:
        system.post(OWN, callback_url=URL)
        system.settle()
    work = CallbackWork.of(rig.intents()[0])
    assert rig.addresses.forget(OWN, act) == 1
    assert rig.is_over(work)
    assert rig.is_over(work)  # a second try records nothing more
    assert rig.outcomes(work) == [FORGOTTEN]
    assert (rig.notifier.called, rig.letters.listed(), rig.alerts.listed()) == ([], [], [])


def act(count: int) -> AdministrativeAct:
    return AdministrativeAct.forget_personal_data(
        provenance(), kind="callback_addresses", subject_id=OWN, count=count
    )


def test_an_address_that_was_given_before_costs_no_look_up() -> None:
    addresses, now, admitted = FakeCallbackAddresses(), [0.0], [0]
    ids = CallbackIds(addresses, monotonic=lambda: now[0])

    def admit() -> None:
        admitted[0] += 1

    first = ids.of("util-1", URL, admit=admit)
    reads = addresses.reads
    assert [ids.of("util-1", URL, admit=admit) for _ in range(3)] == [first] * 3
    assert ids.of("util-2", URL, admit=admit) != first
    assert (addresses.reads, admitted) == (2 * reads, [2])
    addresses.forget("util-1", act)
    now[0] += CACHED_S
    assert ids.of("util-1", URL, admit=admit) not in (None, first)


def test_a_new_address_takes_of_the_bytes_that_are_stored_for_a_utility() -> None:
    rig = Rig()
    rig.system.with_quotas(stored_bytes=4_000)
    with rig.system as system:
        answers = [system.post(OWN, callback_url=f"{URL}&n={n}").status_code for n in range(4)]
    assert 429 in answers or 503 in answers
    assert len([n for n in range(4) if rig.addresses.id_of(OWN, f"{URL}&n={n}")]) < 4


HOME = Coordinates(37.7749, -122.4194)
PORTFOLIO = Portfolio(
    programs=(program_entry(),),
    facilities=(
        facility_entry("fac-001", latitude=HOME.latitude, longitude=HOME.longitude),
        facility_entry("fac-002", latitude=10.0, longitude=20.0),
    ),
)


class Register:
    """An import of a portfolio on a write side in memory, and the read model of facilities."""

    def __init__(self, portfolio: Portfolio = PORTFOLIO) -> None:
        self.portfolio = portfolio
        self.scenario, self.coordinates, self.models = Scenario(), FakeFacilityCoordinates(), FakeReadModels()
        self._folded = 0

    def import_portfolio(self, portfolio: Portfolio | None = None) -> int:
        """Returns the number of recorded domain events."""
        report = import_portfolio(
            portfolio or self.portfolio,
            PortfolioTarget(
                self.scenario.bus,
                FakeUtilities(),
                self.coordinates,
                FakeActLog(),
                self.scenario.clock,
                self.scenario.store,
            ),
            file_sha256=None,
            actor="operator:cli/0a1b2c3d4e5f",
            trace_id="0" * 32,
        )
        self.models.fold(self.scenario.store.read_after(self._folded, 1_000))
        self._folded = self.scenario.store.head()
        return report.domain_events

    def recorded(self) -> str:
        return "\n".join(encode_state(one).decode() for one in self.scenario.store.domain_events)

    def forget(self, facility_id: str) -> None:
        act = AdministrativeAct.forget_personal_data(
            provenance(), kind="coordinates", subject_id=facility_id, count=1
        )
        assert self.coordinates.forget(facility_id, act)

    def cells(self) -> dict[str, WeatherPlace]:
        return places_of_cells(all_rows(self.models.facilities), self.coordinates.stored(), at=NOW)


def test_no_recorded_event_of_an_import_holds_coordinates() -> None:
    register = Register()
    assert register.import_portfolio() > 0
    assert register.import_portfolio() == 0
    assert not [one for one in ("37.77", "122.41", '"latitude":10', "20.0") if one in register.recorded()]
    # The weather cell is where it was, and without the facility that was forgotten afterwards.
    everywhere = places_of((one.weather_cell, place_of(one)) for one in PORTFOLIO.facilities)
    assert register.cells() == everywhere
    register.forget("fac-001")
    assert register.cells() == {"default": place_of(PORTFOLIO.facilities[1])}
    register.forget("fac-002")
    assert register.cells() == {}


def place_of(entry: FacilityEntry) -> WeatherPlace:
    assert entry.latitude is not None
    assert entry.longitude is not None
    return WeatherPlace(latitude=entry.latitude, longitude=entry.longitude, tz=entry.tz)


def test_a_facility_that_names_no_coordinates_has_none_and_neither_has_its_cell() -> None:
    entry = facility_entry("fac-001")
    register = Register(Portfolio(programs=(program_entry(),), facilities=(entry,)))
    assert register.import_portfolio() > 0
    assert register.import_portfolio() == 0
    assert register.cells() == {}
    (row,) = all_rows(register.models.facilities)
    shown = with_coordinates(row, register.coordinates.stored())
    assert (shown.latitude, shown.longitude) == (None, None)


def test_coordinates_are_named_both_or_neither() -> None:
    for name in ("latitude", "longitude"):
        portfolio = Portfolio(
            programs=(program_entry(),), facilities=(facility_entry("fac-001", **{name: 10.0}),)
        )
        with pytest.raises(PortfolioInvalid, match="name both latitude and longitude, or neither"):
            check_references(portfolio, known_utilities=(UTILITY,), known_programs={}, rules=STRICTEST_RULES)


def test_the_api_shows_coordinates_until_they_are_forgotten() -> None:
    register, edge = Register(), Edge()
    register.import_portfolio()
    edge.read_models.facilities = register.models.facilities
    edge.others["facility_coordinates"] = register.coordinates
    key = edge.key("operator")
    listed: list[Any] = []
    for _ in range(2):
        with edge.client() as client:
            listed += client.get("/api/facilities", headers=key).json()["items"]
            listed.append(client.get("/api/facilities/fac-001", headers=key).json())
        register.coordinates.forget("fac-001", act(1))
    shown = [(one["facility_id"], one["latitude"], one["longitude"]) for one in listed]
    of_home, of_other = ("fac-001", HOME.latitude, HOME.longitude), ("fac-002", 10.0, 20.0)
    forgotten = ("fac-001", None, None)
    assert shown == [of_home, of_other, of_home, forgotten, of_other, forgotten]


def test_coordinates_are_read_again_now_and_then_and_not_for_each_request() -> None:
    register, now = Register(), [0.0]
    register.import_portfolio()
    cache = CoordinatesCache(register.coordinates, monotonic=lambda: now[0])

    async def scenario() -> list[StoredCoordinates]:
        read = [await cache.current()]
        register.forget("fac-001")
        read.append(await cache.current())
        now[0] += REFRESH_S
        return [*read, await cache.current()]

    first, second, third = asyncio.run(scenario())
    assert first is second
    assert (first.stored["fac-001"], third.stored["fac-001"]) == (HOME, None)


def test_the_recorded_reason_of_a_failed_call_does_not_name_its_host() -> None:
    clock = SimpleNamespace(wall_seconds=lambda clock_s: clock_s)
    sender = HttpUtilityNotifier(clock=cast("Any", clock), secret_of=lambda _: None, allow_private=True)

    async def failures() -> list[str]:
        reasons = []
        for _ in range(BREAKER_FAILURES + 1):
            with pytest.raises(CallbackFailed) as failed:
                await sender.send("util-1", "http://127.0.0.1:1/", "{}", UUID(int=1), "0" * 32)
            reasons.append(failed.value.reason)
        await sender.aclose()
        return reasons

    reasons = asyncio.run(failures())
    assert "breaker open" in reasons[-1]
    assert "127.0.0.1" not in "".join(reasons)
