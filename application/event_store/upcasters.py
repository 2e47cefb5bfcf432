"""Upcasters: convert older versions of stored domain events when they are read. The log never changes.

Each converts one version to the next, as plain JSON values without `originator_id` and `originator_version`,
which are columns. They chain: v1 -> v2 -> v3. The last topic is that of a class.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from application.event_store.measurement_forms import measured_v2, remeasured_v2, sum_measured_v2
from domain.event_sourcing.decoders import converted
from domain.time_series.quantiles import QuantileSteps, compact
from domain.units import decimal_string

V1_BASELINE_PARAMETERS: dict[str, Any] = {
    "x": 5,
    "y": 10,
    "pick": "high",
    "adjustment": "multiplicative",
    "cap": 0.2,
    "upward_only": False,
    "adjustment_from_s": 4 * 3600,
    "adjustment_until_s": 3600,
    "before_s": 3600,
    "level_kw": None,
}
"""Of every program whose terms were recorded as version 1."""

Change = Callable[[dict[str, Any]], dict[str, Any]]


class Upcaster(msgspec.Struct, frozen=True):
    """From one topic to the next; `change` is pure and must not retain its argument."""

    to: str
    change: Change


class UpcasterCycle(ValueError):
    """A chain of upcasters leads back to itself and never ends at a class."""


def _with_compact_steps(stored: dict[str, Any]) -> dict[str, Any]:
    """Version 1 of a forecast stored each quantile step in kW."""
    steps = converted(stored["steps"], QuantileSteps)
    remaining = {name: value for name, value in stored.items() if name != "steps"}
    return remaining | {"compact_steps": msgspec.to_builtins(compact(steps))}


def _with_contract(stored: dict[str, Any]) -> dict[str, Any]:
    """Version 1 named the baseline's method alone: these parameters are what it was computed with (ADR 0073)."""
    terms = dict(stored["terms"])
    terms["baseline"] = {"method": terms.pop("baseline_method"), "parameters": V1_BASELINE_PARAMETERS}
    for rate in ("rate_per_kw", "rate_per_kwh"):
        terms[rate] = decimal_string(float(terms[rate]))
    return {**stored, "terms": terms}


def _with_enrolment(stored: dict[str, Any]) -> dict[str, Any]:
    """Version 1 agreed on no power."""
    return {**stored, "kw": None, "level_kw": None}


UPCASTERS: dict[str, Upcaster] = {
    "dispatch.measured.v1": Upcaster("dispatch.measured.v2", measured_v2),
    "dispatch.remeasured.v1": Upcaster("dispatch.remeasured.v2", remeasured_v2),
    "dr-event.measured.v1": Upcaster("dr-event.measured.v2", sum_measured_v2),
    "dr-event.remeasured.v1": Upcaster("dr-event.remeasured.v2", sum_measured_v2),
    "facility.enrolled-in-program.v1": Upcaster("facility.enrolled-in-program.v2", _with_enrolment),
    "facility.zone-defined.v1": Upcaster("facility.zone-defined.v2", lambda stored: stored),
    "forecast.issued.v1": Upcaster("forecast.issued.v2", _with_compact_steps),
    "forecast.reissued.v1": Upcaster("forecast.reissued.v2", _with_compact_steps),
    "program.terms-agreed.v1": Upcaster("program.terms-agreed.v2", _with_contract),
}
"""Old topic -> its conversion to the next. Entries are never removed."""


def present_topic(topic: str) -> str:
    """The topic of the class that a stored topic is read as. Raises UpcasterCycle."""
    seen = {topic}
    while (upcaster := UPCASTERS.get(topic)) is not None:
        topic = upcaster.to
        if topic in seen:
            raise UpcasterCycle(f"the upcasters of {topic} come back to it")
        seen.add(topic)
    return topic


def upcast(topic: str, stored: dict[str, Any]) -> dict[str, Any]:
    """A state stored under `topic`, converted to its present version."""
    while (upcaster := UPCASTERS.get(topic)) is not None:
        topic, stored = upcaster.to, upcaster.change(stored)
    return stored


def stored_topics(topics: list[str]) -> list[str]:
    """Those topics and every older topic that is read as one of them: the topics to look for in the log."""
    current_topics = set(topics)
    return sorted(current_topics | {old for old in UPCASTERS if present_topic(old) in current_topics})
