"""Topics that the release before this one cannot read, and the older form of their domain events.

During an upgrade, processes of two releases read one log. A topic in NEWER_TOPICS is written only after an operator
has said that no older process runs (`gridproof migrate --contract`, ADR 0009). Until then a domain event is stored in
its older form, where DOWNCASTERS has one; otherwise the save is refused.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec
from eventsourcing.persistence import StoredEvent
from eventsourcing.utils import get_topic

from application.event_store.event_mapper import encode_state
from application.event_store.measurement_forms import (
    measured_v1,
    remeasured_v1,
    sum_measured_v1,
    sum_remeasured_v1,
)
from application.event_store.upcasters import V1_BASELINE_PARAMETERS, Change
from application.ports.event_store.event_store import NewerTopicRefused
from domain.baseline import BaselineParameters
from domain.event_sourcing.aggregate import DomainEvent
from domain.event_sourcing.decoders import converted
from domain.units import decimal_string

V2_TERMS: dict[str, Any] = {
    "holidays": None,
    "clip_delivery": False,
    "window": None,
    "maximum_lead_s": None,
    "settlement": None,
}
"""What version 2 of a program's terms added -> the value that says nothing more than version 1."""

WRITTEN_FROM = "0.2"
"""The release that every process must have before NEWER_TOPICS are written."""


class NotExpressible(ValueError):
    """The older form has no place for what the domain event says; the message says for what."""


class Downcaster(NamedTuple):
    """From a topic to the older one. `change` is pure, works on plain JSON values, and raises NotExpressible."""

    to: str
    change: Change


def _without_contract(stored: dict[str, Any]) -> dict[str, Any]:
    """Version 1 of the terms: the method alone, rates as floats, and nothing that v2 added (ADR 0073)."""
    terms = {name: value for name, value in stored["terms"].items() if name not in V2_TERMS}
    for name, nothing in V2_TERMS.items():
        if stored["terms"].get(name, nothing) != nothing:
            raise NotExpressible(f"terms with {name}")
    baseline = terms.pop("baseline")
    if _parameters(baseline["parameters"]) != _parameters(V1_BASELINE_PARAMETERS):
        raise NotExpressible("terms with parameters of the baseline")
    if baseline["method"] == "regression":
        raise NotExpressible("the baseline regression")
    if terms["forecast_guardrail"] == "accept_no_weather":
        raise NotExpressible("the guardrail accept_no_weather")
    for rate in ("rate_per_kw", "rate_per_kwh"):
        terms[rate] = _as_float(terms[rate])
    return {**stored, "terms": {**terms, "baseline_method": baseline["method"]}}


def _parameters(stored: dict[str, Any]) -> BaselineParameters:
    """With the defaults of what is not stored."""
    return converted(stored, BaselineParameters)


def _as_float(exact: str) -> float:
    found = float(exact)
    if decimal_string(found) != exact:
        raise NotExpressible(f"a rate of {exact}, which no float is")
    return found


def _without_enrolment(stored: dict[str, Any]) -> dict[str, Any]:
    for name in ("kw", "level_kw"):
        if stored[name] is not None:
            raise NotExpressible(f"an enrolment with {name}")
    return {name: value for name, value in stored.items() if name not in {"kw", "level_kw"}}


def _without_lower_limit(stored: dict[str, Any]) -> dict[str, Any]:
    """Version 1 of a zone has an upper comfort limit only."""
    zone = dict(stored["zone"])
    if zone.pop("lower_comfort_limit_c", None) is not None or zone["max_magnitude"] < 0:
        raise NotExpressible(f"zone {zone['zone_id']} has a lower comfort limit")
    return stored | {"zone": zone}


NEWER_TOPICS: frozenset[str] = frozenset(
    {
        "administration.alert-acknowledged.v1",
        "administration.alert-cleared.v1",
        "administration.history-import-taken-back.v1",
        "administration.messages-decoded-again.v1",
        "administration.meter-login-created.v1",
        "administration.meter-login-revoked.v1",
        "administration.meter-readings-removed.v1",
        "administration.migration-applied.v1",
        "day-seals.opened.v1",
        "day-seals.sealed.v1",
        "dispatch.measured.v2",
        "dispatch.remeasured.v2",
        "dispatch.unblocked.v1",
        "dr-event.measured.v2",
        "dr-event.remeasured.v2",
        "dr-event.resettled.v1",
        "dr-event.settled.v1",
        "facility.enrolled-in-program.v2",
        "facility.groups-assigned.v1",
        "facility.location-agreed.v1",
        "facility.reactivated.v1",
        "facility.zone-defined.v2",
        "history-seals.opened.v1",
        "history-seals.sealed.v1",
        "program.terms-agreed.v2",
    }
)
DOWNCASTERS: dict[str, Downcaster] = {
    "dispatch.measured.v2": Downcaster("dispatch.measured.v1", measured_v1),
    "dispatch.remeasured.v2": Downcaster("dispatch.remeasured.v1", remeasured_v1),
    "dr-event.measured.v2": Downcaster("dr-event.measured.v1", sum_measured_v1),
    "dr-event.remeasured.v2": Downcaster("dr-event.remeasured.v1", sum_remeasured_v1),
    "facility.enrolled-in-program.v2": Downcaster("facility.enrolled-in-program.v1", _without_enrolment),
    "facility.zone-defined.v2": Downcaster("facility.zone-defined.v1", _without_lower_limit),
    "program.terms-agreed.v2": Downcaster("program.terms-agreed.v1", _without_contract),
}
"""Newer topic -> its conversion to the older one, which its upcaster (application/event_store/upcasters.py) reads."""


def storable(stored: StoredEvent, *, with_newer_topics: bool) -> StoredEvent:
    """The form in which a domain event may be stored now. Raises NewerTopicRefused."""
    if with_newer_topics or stored.topic not in NEWER_TOPICS:
        return stored
    downcaster = DOWNCASTERS.get(stored.topic)
    if downcaster is None:
        raise _refused(f"releases before {WRITTEN_FROM} do not know {stored.topic}")
    try:
        older = downcaster.change(msgspec.json.decode(stored.state))
    except NotExpressible as error:
        raise _refused(f"releases before {WRITTEN_FROM} cannot read it: {error}") from error
    return StoredEvent(
        originator_id=stored.originator_id,
        originator_version=stored.originator_version,
        topic=downcaster.to,
        state=msgspec.json.encode(older),
    )


def check_older_forms(domain_events: Iterable[DomainEvent]) -> None:
    """Whether all of them can be stored while an older process may run. Raises NewerTopicRefused."""
    for domain_event in domain_events:
        stored = StoredEvent(
            originator_id=domain_event.originator_id,
            originator_version=domain_event.originator_version,
            topic=get_topic(type(domain_event)),
            state=encode_state(domain_event),
        )
        storable(stored, with_newer_topics=False)


def check_writes_newer_topics(what: str, *, writes_newer_topics: bool) -> None:
    """Raises NewerTopicRefused where `what` cannot be recorded yet, before anything is done about it."""
    if not writes_newer_topics:
        raise _refused(f"releases before {WRITTEN_FROM} do not know {what}")


def _refused(reason: str) -> NewerTopicRefused:
    return NewerTopicRefused(
        f"{reason}, and one may still run; once every process is of release {WRITTEN_FROM} or newer, say so: "
        f"`gridproof migrate --contract {WRITTEN_FROM}`"
    )
