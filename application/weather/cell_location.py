"""The location of a weather cell: the mean of its facilities; pure."""

from collections import defaultdict
from collections.abc import Iterable
from math import atan2, cos, degrees, hypot, radians, sin

import msgspec


class WeatherPlace(msgspec.Struct, frozen=True, kw_only=True):
    """A point in decimal degrees, and its time zone."""

    latitude: float
    longitude: float
    tz: str


def places_of(facilities: Iterable[tuple[str, WeatherPlace]]) -> dict[str, WeatherPlace]:
    """Weather cell -> the mean of its facilities' locations; the time zone is that of the first of them.

    The mean is taken on the sphere, so a cell across the 180th meridian is located correctly.
    """
    members: defaultdict[str, list[WeatherPlace]] = defaultdict(list)
    for cell, place in facilities:
        members[cell].append(place)
    return {cell: _mean(places) for cell, places in members.items()}


def _mean(places: list[WeatherPlace]) -> WeatherPlace:
    east = sum(cos(radians(p.latitude)) * cos(radians(p.longitude)) for p in places)
    north = sum(cos(radians(p.latitude)) * sin(radians(p.longitude)) for p in places)
    up = sum(sin(radians(p.latitude)) for p in places)
    return WeatherPlace(
        latitude=round(degrees(atan2(up, hypot(east, north))), 4),
        longitude=round(degrees(atan2(north, east)), 4),
        tz=places[0].tz,
    )
