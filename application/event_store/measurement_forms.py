"""Measurements in version 1 and version 2, as plain JSON values (ADR 0074).

Version 1 of a facility's measurement holds its figures beside the other fields, and fewer of them. Version 1 of a DR
event's measurement has 0.0 kW where no facility could be measured.
"""

from typing import Any

State = dict[str, Any]

_SAME = ("baseline_method", "intervals", "coverage_pct", "delivered_kw", "data_hash", "figures_hash")
"""Figures that both versions hold in the same form."""
_IN_V1 = (*_SAME, "days", "adjustment_kind", "adjustment_value", "adjustment_clipped")


def measured_v2(v1: State) -> State:
    """What version 1 did not record is absent, and so has its default."""
    return _others(v1, _IN_V1) | {"figures": _figures(v1)}


def measured_v1(v2: State) -> State:
    """Version 1 holds the same number, with less of its origin."""
    return _others(v2, ("figures",)) | _flat(v2["figures"])


def remeasured_v2(v1: State) -> State:
    return measured_v2(v1) | {"reason": ""}


def remeasured_v1(v2: State) -> State:
    return _others(measured_v1(v2), ("reason",))


def sum_measured_v2(v1: State) -> State:
    """No facility measured, although some were dispatched: the delivered power is not known."""
    if v1["measured_facilities"] == 0 and v1["unmeasured_facilities"]:
        return v1 | {"delivered_kw": None}
    return dict(v1)


def sum_measured_v1(v2: State) -> State:
    return _others(v2, ("unmeasured_reasons",)) | {"delivered_kw": v2["delivered_kw"] or 0.0}


def sum_remeasured_v1(v2: State) -> State:
    return sum_measured_v1(v2) | {"previous_kw": v2["previous_kw"] or 0.0}


def _figures(v1: State) -> State:
    figures = {name: v1[name] for name in _SAME if name in v1}
    figures["days"] = [{"day": day} for day in v1["days"]]
    figures["adjustment"] = {
        "kind": v1["adjustment_kind"],
        "value": v1["adjustment_value"],
        "clipped": v1["adjustment_clipped"],
    }
    return figures


def _flat(figures: State) -> State:
    flat = {name: figures[name] for name in _SAME if name in figures}
    adjustment = figures["adjustment"]
    return flat | {
        "days": [day["day"] for day in figures.get("days", ()) if day.get("use", "used") == "used"],
        "adjustment_kind": adjustment["kind"],
        "adjustment_value": adjustment.get("value"),
        "adjustment_clipped": adjustment.get("clipped", False),
    }


def _others(state: State, names: tuple[str, ...]) -> State:
    return {name: value for name, value in state.items() if name not in names}
