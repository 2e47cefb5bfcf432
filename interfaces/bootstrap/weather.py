"""Wiring of the weather: service, cache and call quota."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from interfaces.bootstrap.servers import (
    CACHE_NAMESPACE,
    NoRunningSystem,
    cache_namespace,
    current_cache,
    namespaced,
)
from interfaces.bootstrap.stores import Stores, database_url, facility_rows
from interfaces.bootstrap.tls import http_tls

if TYPE_CHECKING:
    from datetime import datetime

    from adapters.redis.weather_quota import CachedWeatherQuota
    from application.facility.portfolio_entries import FacilityEntry
    from application.ports.clock import Clock
    from application.ports.weather.source import WeatherSource
    from application.ports.weather.temperatures import CellTemperatures
    from application.weather.cell_location import WeatherPlace
    from application.weather.requirements import WeatherContract
    from domain.facility import Coordinates
    from interfaces.settings.settings import Settings
    from projections.facility import FacilityRow

WEATHERAPI_URL = "https://api.weatherapi.com"


def weather_source(stores: Stores) -> WeatherSource | None:
    """The weather source for one event loop; None where the settings name none. Raises SecretError."""
    from adapters.weather import HttpWeatherSource
    from application.weather.cached_source import CachedWeatherSource

    settings = stores.settings
    source: WeatherSource
    if settings.weather_key is not None:
        source = _weatherapi(stores, settings.weather_key)
    elif settings.weather_url is not None:
        source = HttpWeatherSource(settings.weather_url, stores.clock, tls=http_tls(settings))
    else:
        return None
    return CachedWeatherSource(
        source, stores.clock, current_cache(stores.settings, stores.pool), cell_temperatures(stores)
    )


def cell_temperatures(stores: Stores) -> CellTemperatures:
    from adapters.postgres.temperatures import PostgresCellTemperatures

    return PostgresCellTemperatures(stores.pool)


async def weather_summary(settings: Settings, clock: Clock) -> str:
    """The text of `gridproof doctor`. It makes no call, because each counts against the quota. Raises SecretError."""
    from interfaces.settings.secrets import resolve_secret

    if settings.weather_key is None:
        return f"{urlsplit(settings.weather_url or '').hostname}, no key"
    resolve_secret(settings.weather_key)
    quota = _quota(settings, clock, _namespace(settings))
    try:
        use = await quota.usage()
    finally:
        await quota.aclose()
    counted = "by all processes" if use.shared else "by this process alone, the cache is away"
    host = urlsplit(settings.weather_url or WEATHERAPI_URL).hostname
    return f"WeatherAPI.com at {host}, {use.used} of {use.quota} calls of the month used, counted {counted}"


def contract_of(settings: Settings) -> WeatherContract | None:
    """The contract with WeatherAPI.com, which asks for coordinates; None: another service, which asks for cells, or
    none."""
    from application.weather.requirements import WeatherContract

    if settings.weather_key is None:
        return None
    return WeatherContract(
        calls_a_month=settings.weather_quota_per_month, history_days=settings.weather_history_days
    )


def weather_problems(stores: Stores, entries: Collection[FacilityEntry] = ()) -> list[str]:
    """What is missing for the weather of all facilities, and what follows. `entries`: those just imported."""
    from application.operations.portfolio_import import given_coordinates
    from application.weather.requirements import NO_SERVICE, problems_of_contract

    contract = contract_of(stores.settings)
    if contract is None:
        return [] if stores.settings.weather_url else [NO_SERVICE]
    given = given_coordinates(entries)
    located = {*weather_places(stores), *(one.weather_cell for one in entries if one.facility_id in given)}
    cells = weather_cells(stores) | {one.weather_cell for one in entries}
    return list(problems_of_contract(contract, cells, located))


def weather_cells(stores: Stores) -> set[str]:
    """The weather cells of all facilities."""
    now = stores.clock.now()
    return {
        row.locations.at(now).weather_cell for row in facility_rows(stores) if row.status != "deactivated"
    }


def _quota(settings: Settings, clock: Clock, namespace: str) -> CachedWeatherQuota:
    from adapters.redis.weather_quota import CachedWeatherQuota

    return CachedWeatherQuota(
        settings.weather_quota_per_month, clock, redis_url=settings.redis_url, namespace=namespace
    )


def _namespace(settings: Settings) -> str:
    """For a command that has no stores; that of no system while the database is away."""
    import psycopg

    from adapters.postgres.connection.session import open_session
    from adapters.postgres.operations.system_name import system_name

    try:
        with open_session(database_url(settings), "gridproof pool") as connection:
            return namespaced(system_name(connection))
    except (psycopg.Error, NoRunningSystem):
        return CACHE_NAMESPACE


def _weatherapi(stores: Stores, key_ref: str) -> WeatherSource:
    from adapters.weather import WeatherApiPlan, WeatherApiSource
    from application.weather.quota_alert import AlertingQuota
    from interfaces.settings.secrets import resolve_secret

    settings, clock = stores.settings, stores.clock
    return WeatherApiSource(
        settings.weather_url or WEATHERAPI_URL,
        resolve_secret(key_ref).decode(),
        clock,
        places=lambda: weather_places(stores),
        quota=AlertingQuota(
            _quota(settings, clock, cache_namespace(stores.settings, stores.pool)), stores.alerts(), clock
        ),
        plan=WeatherApiPlan(
            forecast_days=settings.weather_forecast_days, history_days=settings.weather_history_days
        ),
        tls=http_tls(settings),
    )


def weather_places(stores: Stores) -> dict[str, WeatherPlace]:
    """The location of every weather cell, from the facilities in it whose coordinates are not forgotten."""
    return places_of_cells(
        facility_rows(stores), stores.facility_coordinates().stored(), at=stores.clock.now()
    )


def places_of_cells(
    rows: Iterable[FacilityRow], stored: Mapping[str, Coordinates | None], *, at: datetime
) -> dict[str, WeatherPlace]:
    """Weather cell -> its location then. `stored`: coordinates beside the log (see `with_coordinates`)."""
    from application.weather.cell_location import WeatherPlace, places_of
    from projections.facility import with_coordinates

    located = (with_coordinates(row, stored) for row in rows if row.status != "deactivated")
    return places_of(
        (
            location.weather_cell,
            WeatherPlace(latitude=row.latitude, longitude=row.longitude, tz=location.tz),
        )
        for row, location in ((row, row.locations.at(at)) for row in located)
        if row.latitude is not None and row.longitude is not None
    )
