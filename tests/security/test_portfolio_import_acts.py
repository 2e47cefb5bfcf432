"""A portfolio import is recorded before it changes anything, with what decides who is believed (principle 8)."""

from collections.abc import Iterator
from typing import Any

import pytest
from psycopg_pool import ConnectionPool

from adapters.postgres.event_store.event_store import PostgresEventStore
from adapters.postgres.operations.act_log import PostgresActLog
from adapters.postgres.utilities import PostgresUtilities
from application.command_bus.bus import CommandBus
from application.event_store.demand_response import DemandResponse
from application.facility.portfolio_entries import Portfolio, ProgramEntry, UtilityEntry
from application.handlers import HANDLERS
from application.operations.portfolio_import import PortfolioTarget, import_portfolio
from domain.administration import AdministrativeAct
from domain.facility import Facility
from projections.audit.act_descriptions import act_text
from tests.fakes.clock import FakeClock
from tests.fakes.facility import FakeFacilityCoordinates
from tests.fakes.forecast.forecast_book import FakeForecastBook
from tests.sample_values import facility_entry
from tests.servers import Database

DIGEST = "5f" * 32
UTILITY = UtilityEntry(utility_id="util-1", webhook_secret_ref="env:GRIDPROOF_SECRET_WEBHOOK_ONE")
PORTFOLIO = Portfolio(
    utilities=(UTILITY, UtilityEntry(utility_id="util-2")),
    programs=(ProgramEntry(program_id="summer-peak", utility_id="util-1"),),
    facilities=(facility_entry("fac-001"), facility_entry("fac-002")),
)


class System:
    def __init__(self, database: Database, pool: ConnectionPool[Any]) -> None:
        self.events = PostgresEventStore(DemandResponse, database.app_dsn)
        self.bus = CommandBus(self.events, FakeClock(), HANDLERS, forecasts=FakeForecastBook())
        self.utilities = PostgresUtilities(pool)
        self._acts = PostgresActLog(pool)
        self._imports = 0

    def imports(self, portfolio: Portfolio) -> None:
        self._imports += 1
        import_portfolio(
            portfolio,
            PortfolioTarget(
                self.bus, self.utilities, FakeFacilityCoordinates(), self._acts, FakeClock(), self.events
            ),
            file_sha256=DIGEST,
            actor="operator:cli/0a1b2c3d4e5f",
            trace_id=f"{self._imports:032x}",
        )

    @property
    def log(self) -> list[Any]:
        return [entry.domain_event for entry in self.events.read_after(0, 100)]


@pytest.fixture
def system(database: Database) -> Iterator[System]:
    with ConnectionPool[Any](database.app_dsn, min_size=1, max_size=2) as pool:
        system = System(database, pool)
        yield system
        system.events.close()


def test_an_import_is_recorded_at_its_beginning_and_at_its_end(system: System) -> None:
    system.imports(PORTFOLIO)
    begun, *between, ended = system.log
    assert isinstance(begun, AdministrativeAct.PortfolioImportBegun)
    assert (begun.actor, begun.file_sha256) == ("operator:cli/0a1b2c3d4e5f", DIGEST)
    assert (begun.utilities_changed, begun.programs_changed, begun.facilities_changed) == (2, 1, 2)
    assert act_text(begun) == (
        "import of a portfolio begun: 2 utilities, 1 program, 2 facilities to change; "
        "new utility util-1: webhook_secret_ref env:GRIDPROOF_SECRET_WEBHOOK_ONE; new utility util-2 "
        f"(SHA-256 of the file {DIGEST})"
    )
    assert isinstance(ended, AdministrativeAct.PortfolioImported)
    assert act_text(ended) == "portfolio imported: 2 utilities, 1 program, 2 facilities changed"
    assert {one.correlation_id for one in (*between, ended)} == {begun.correlation_id}


def test_changed_references_are_named_and_what_is_the_same_is_not_recorded(system: System) -> None:
    system.imports(PORTFOLIO)
    before = len(system.log)
    system.imports(PORTFOLIO)
    assert len(system.log) == before
    changed = UtilityEntry(utility_id="util-1", webhook_secret_ref="file:/run/secrets/other")
    system.imports(Portfolio(utilities=(changed,), facilities=PORTFOLIO.facilities))
    begun, ended = system.log[before:]
    [utility] = begun.utilities
    assert (utility.changed, utility.is_new) == (("webhook_secret_ref",), False)
    assert utility.webhook_secret_ref == "file:/run/secrets/other"
    assert (ended.utilities, ended.programs, ended.facilities) == (1, 0, 0)


def test_an_import_that_does_not_reach_its_end_is_recorded_with_what_it_changed(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = system.events.save

    def fails(aggregates: Any, **options: Any) -> Any:
        if any(isinstance(one, Facility) and one.state.facility_id == "fac-002" for one in aggregates):
            raise ConnectionError("the process was killed")
        return save(aggregates, **options)

    monkeypatch.setattr(system.events, "save", fails)
    with pytest.raises(ConnectionError):
        system.imports(PORTFOLIO)
    assert isinstance(system.log[0], AdministrativeAct.PortfolioImportBegun)
    assert not any(isinstance(one, AdministrativeAct.PortfolioImported) for one in system.log)
    assert system.utilities.find("util-1") == UTILITY


def test_a_utility_is_not_changed_without_the_act(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_arguments: object) -> None:
        raise ConnectionError("the server died")

    monkeypatch.setattr("adapters.postgres.utilities.append_acts", fails)
    with pytest.raises(ConnectionError):
        system.imports(PORTFOLIO)
    assert (system.utilities.listed(), system.log) == ([], [])
