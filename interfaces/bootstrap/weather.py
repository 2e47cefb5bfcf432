"""Wiring of the weather: which service, remembered where, under which quota."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interfaces.bootstrap.stores import Stores, facility_rows
from interfaces.bootstrap.telemetry import current_cache

if TYPE_CHECKING:
    from application.ports.weather import WeatherSource
    from application.weather_places import WeatherPlace

WEATHERAPI_URL = "https://api.weatherapi.com"


def weather_source(stores: Stores) -> WeatherSource | None:
    """For one event loop; None where the settings name no service. Raises SecretError."""
    from adapters.weather import HttpWeatherSource
    from application.remembered_weather import RememberedWeather

    settings = stores.settings
    source: WeatherSource
    if settings.weather_key is not None:
        source = _weatherapi(stores, settings.weather_key)
    elif settings.weather_url is not None:
        source = HttpWeatherSource(settings.weather_url, stores.clock)
    else:
        return None
    return RememberedWeather(source, stores.clock, current_cache(stores))


def _weatherapi(stores: Stores, key_ref: str) -> WeatherSource:
    from adapters.weather import WeatherApiPlan, WeatherApiSource
    from adapters.weather_quota import CachedWeatherQuota
    from application.weather_quota_alert import WatchedQuota
    from interfaces.secrets import resolve_secret

    settings, clock = stores.settings, stores.clock
    quota = CachedWeatherQuota(settings.weather_quota_per_month, clock, redis_url=settings.redis_url)
    return WeatherApiSource(
        settings.weather_url or WEATHERAPI_URL,
        resolve_secret(key_ref).decode(),
        clock,
        places=lambda: weather_places(stores),
        quota=WatchedQuota(quota, stores.alerts(), clock),
        plan=WeatherApiPlan(
            forecast_days=settings.weather_forecast_days, history_days=settings.weather_history_days
        ),
    )


def weather_places(stores: Stores) -> dict[str, WeatherPlace]:
    """Where every weather cell is, by the facilities in it."""
    from application.weather_places import WeatherPlace, places_of

    return places_of(
        (row.weather_cell, WeatherPlace(latitude=row.latitude, longitude=row.longitude, tz=row.tz))
        for row in facility_rows(stores)
        if row.status != "deactivated"
    )
