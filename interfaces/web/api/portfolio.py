"""Routes of the portfolio: available, committed and delivered load, and its forecast."""

import asyncio
from datetime import datetime
from uuid import UUID

import msgspec
from litestar import Controller, Response, get

from application.forecast.as_of import newest_at
from application.forecast.portfolio_forecast import (
    NoPortfolioForecast,
    PortfolioForecastDocument,
    measured_correlations,
    portfolio_forecast,
)
from domain.event_sourcing.decoders import converted
from interfaces.web.api.forecast.controller import AsOfMoment, moment_of
from interfaces.web.edge import Web, WebDependencies
from interfaces.web.guard.access import ApiRequest
from interfaces.web.problems import Problem
from interfaces.web.requests.as_of import AsOfQuery, facilities_of, parse_as_of, portfolio_of
from interfaces.web.route_policy import READER, RoutePolicy
from projections.facility import FacilityRow
from projections.facility_groups import group_totals
from projections.portfolio.projection import KEY, PortfolioRow
from projections.queries.views import View, all_rows


class ReadinessDocument(msgspec.Struct, frozen=True, kw_only=True):
    """How many facilities of an open DR event do not serve as planned, or may not."""

    blocked: int
    at_risk: int
    """They take part on a degraded forecast, and are not curtailed yet."""
    dropped_out: int
    """They failed or left."""


class PortfolioDocument(msgspec.Struct, frozen=True, kw_only=True, tag="portfolio"):
    """The whole portfolio, as recorded so far. Its fields are listed here; those of the row are not published."""

    registered_facilities: int = 0
    active_facilities: int = 0
    facilities_in_maintenance: int = 0
    deactivated_facilities: int = 0
    reserved_facilities: int = 0
    """Active ones with a reservation, current or future."""
    declared_kw: float = 0.0
    """Curtailable, over all facilities that are not deactivated."""
    available_kw: float = 0.0
    """The part of it that is active, not reserved and not withheld."""
    reserved_kw: float = 0.0
    withheld_facilities: int = 0
    """Active ones without a reservation that have opted out of every DR event, or are not restored yet."""
    withheld_kw: float = 0.0
    committed_kw: float = 0.0
    """Targets of dispatches whose buildings are curtailed now."""
    delivering_kw: float = 0.0
    """What the meters last showed of those, where verified by meter."""
    open_dr_events: int = 0
    """Accepted and neither completed nor cancelled."""
    active_dr_events: int = 0
    """Inside their window now."""
    blocked_facilities: int = 0
    """Over all open DR events: facilities whose dispatch is blocked by a degraded forecast."""
    at_risk_facilities: int = 0
    dropped_out_facilities: int = 0
    readiness: dict[str, ReadinessDocument] = {}
    """By the id of an open DR event, where a count is not 0; at most 200."""
    last_measured_dr_event: UUID | None = None
    last_delivered_kw: float | None = None
    changed_at: datetime | None = None


class GroupDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The facilities with one label of the operator's. A facility counts in each of its groups."""

    group: str
    facilities: int
    active_facilities: int
    facilities_in_maintenance: int
    deactivated_facilities: int
    reserved_facilities: int
    """Active ones with a reservation, current or future."""
    declared_kw: float
    available_kw: float
    reserved_kw: float


class GroupsDocument(msgspec.Struct, frozen=True, kw_only=True):
    """By the name of the group."""

    items: tuple[GroupDocument, ...]


def portfolio_document(row: PortfolioRow) -> PortfolioDocument:
    return converted(row, PortfolioDocument, from_attributes=True)


class PortfolioController(Controller):
    path = "/api/portfolio"
    tags = ("portfolio",)

    @get(
        "/",
        summary="Available, committed and delivered kW",
        policy=RoutePolicy(roles=READER, cache="replica", projections=("portfolio",)),
    )
    async def whole(self, request: ApiRequest, web: Web, *, as_of: AsOfQuery = None) -> PortfolioDocument:
        """All zero before the first facility is imported."""
        row = await web.rows.get(await portfolio_of(request, parse_as_of(as_of)), KEY)
        return portfolio_document(row or PortfolioRow())

    @get(
        "/groups",
        summary="Facilities, declared, available and reserved kW of each group",
        policy=RoutePolicy(roles=READER, cache="replica", projections=("facilities",)),
    )
    async def groups(
        self, request: ApiRequest, web: Web, *, as_of: AsOfQuery = None
    ) -> Response[GroupsDocument]:
        """The groups are the labels that the portfolio gives its facilities; `/api/facilities?group=` lists one."""
        view = await facilities_of(request, parse_as_of(as_of))
        return await web.pages.document(view, "groups", _groups_document)

    @get(
        "/forecast",
        summary="The forecast load of all facilities together",
        policy=RoutePolicy(roles=READER, cache="primary", projections=("facilities",), ignores_as_of=True),
    )
    async def forecast(self, web: Web, *, as_of: AsOfMoment = None) -> PortfolioForecastDocument:
        """Quantiles of the sum, not the sum of quantiles: their width follows from the correlation of recent errors.

        For the current facilities, with the forecasts in force at `as_of`.
        """
        at = moment_of(as_of, web.clock.now())
        try:
            return await asyncio.to_thread(_foreseen, web, at)
        except NoPortfolioForecast as error:
            raise Problem("not-found", str(error)) from None


def _groups_document(view: View[FacilityRow]) -> GroupsDocument:
    totals = group_totals(all_rows(view))
    return converted({"items": totals}, GroupsDocument, from_attributes=True)


def _foreseen(web: WebDependencies, at: datetime) -> PortfolioForecastDocument:
    rows = all_rows(web.read_models.facilities)
    ids = [row.facility_id for row in rows if row.status != "deactivated"]
    states = newest_at(web.past_forecasts, ids, at)
    estimates = measured_correlations(web.forecast_scores, at.date())
    return portfolio_forecast(states.values(), ids, estimates, at)
