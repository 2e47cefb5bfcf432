"""Answers of a BMS that are too large."""

from __future__ import annotations

from random import Random

import msgspec


class Oversize(msgspec.Struct, frozen=True, kw_only=True):
    answers: dict[str, float] = {}
    """Facility -> how often the answer of its BMS is too large."""


def draw_oversize(rng: Random, facility_ids: tuple[str, ...]) -> Oversize:
    if rng.random() >= 0.12:
        return Oversize()
    return Oversize(answers={one: rng.choice((0.05, 0.3)) for one in facility_ids if rng.random() < 0.5})
