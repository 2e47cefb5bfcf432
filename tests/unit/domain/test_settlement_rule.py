"""The data structure settlement-rule/1: defaults, overrides by kind, and what is wrong with a rule."""

import json
from importlib.resources import files
from typing import Any

import msgspec
import pytest
from hypothesis import given

from application.settlement.rule_words import words_of
from domain.program import SettlementRule
from domain.program.settlement_rule import Delivered, Energy, KindOverride, Performance
from tests.strategies import structs_of

DATA = files("domain.settlement") / "data"
PLAIN: dict[str, Any] = {"schema": "settlement-rule/1", "currency": "USD"}
TIER = {"from": "0.25", "a": "0", "b": "1"}


def rule(**members: Any) -> SettlementRule:
    return msgspec.convert(PLAIN | members, SettlementRule)


def test_a_rule_names_its_currency_and_the_rest_has_defaults() -> None:
    found = rule()
    assert (found.minor_unit, found.rounding, found.level, found.allocation) == (
        2,
        "half_up",
        "facility",
        "delivered",
    )
    assert (found.interval_s, found.share, found.minimum_performance) == (3600, "1", None)
    assert (found.capacity, found.energy, found.penalty) == (None, None, None)
    assert msgspec.to_builtins(found.delivered) == {
        "floor": "interval",
        "cap_ratio": None,
        "export": "to_zero",
    }
    assert msgspec.to_builtins(found.missing) == {"as": "exclude", "min_coverage": "0"}
    assert msgspec.to_builtins(found.results) == {"opted_out": "excused", "failed": "zero"}
    assert msgspec.to_builtins(found.performance) == {"per": "event", "places": 4, "min": "0", "max": None}
    assert msgspec.to_builtins(found.limits) == {"event_min": None, "event_max": None}
    assert msgspec.to_builtins(found.deadline) == {"final_after_days": 60}
    assert found.problems() == ()


@pytest.mark.parametrize(
    "members",
    [
        {"currency": "usd"},
        {"currency": "USD\n"},
        {"minor_unit": 5},
        {"rounding": "up"},
        {"share": 0.5},
        {"share": "1e-3"},
        {"share": ".5"},
        {"energy": {"rate": "0.35\n"}},
        {"capacity": {"rate": "1"}},
        {"capacity": {"rate": "1", "unit": "kw-year"}},
        {"capacity": {"rate": "1", "unit": "kw-month", "tiers": []}},
        {"performance": {"places": 7}},
        {"schema": "settlement-rule/2"},
    ],
)
def test_members_outside_of_the_schema_are_refused(members: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        rule(**members)


@pytest.mark.parametrize(
    ("members", "code", "path"),
    [
        (
            {"capacity": {"rate": "1", "unit": "kw-month", "tiers": [TIER, TIER]}},
            "tiers_not_rising",
            "capacity.tiers",
        ),
        (
            {"energy": {"rate": "1", "tiers": [TIER, TIER | {"from": "0.1"}]}},
            "tiers_not_rising",
            "energy.tiers",
        ),
        (
            {"capacity": {"rate": "1", "unit": "kw-month", "from_event": [{"event": 5, "rate": "2"}] * 2}},
            "events_not_rising",
            "capacity.from_event",
        ),
        ({"performance": {"min": "1", "max": "0.5"}}, "performance_range", "performance.max"),
        ({"limits": {"event_min": "0", "event_max": "-1"}}, "limits_range", "limits.event_max"),
        ({"share": "1.01"}, "share_range", "share"),
        ({"missing": {"min_coverage": "80"}}, "coverage_range", "missing.min_coverage"),
        ({"delivered": {"cap_ratio": "-1"}}, "cap_negative", "delivered.cap_ratio"),
        ({"penalty": {"rate": "1", "threshold": "-1"}}, "threshold_negative", "penalty.threshold"),
        ({"penalty": {"rate": "-1"}}, "penalty_negative", "penalty.rate"),
        ({"energy": {}}, "energy_without_rate", "energy.rate"),
        ({"energy": {"price": "event", "rate": "1"}}, "energy_with_two_rates", "energy.rate"),
        ({"kinds": {"test": {"share": "2"}}}, "share_range", "kinds.test.share"),
        ({"kinds": {"test": {"energy": {}}}}, "energy_without_rate", "kinds.test.energy.rate"),
    ],
)
def test_what_no_schema_expresses_has_a_named_error(members: dict[str, Any], code: str, path: str) -> None:
    (problem,) = rule(**members).problems()
    assert (problem.code, problem.path) == (code, path)


@pytest.mark.parametrize(
    ("members", "code", "path"),
    [
        (
            {"energy": {"rate": "1", "min_price": "0.03"}},
            "min_price_without_prices",
            "energy.min_price",
        ),
        (
            {"capacity": {"rate": "1", "unit": "kw-event", "from_event": [{"event": 5, "rate": "2"}]}},
            "events_without_period",
            "capacity.from_event",
        ),
        (
            {"minimum_performance": "0.9", "performance": {"max": "0.8"}},
            "minimum_above_max",
            "minimum_performance",
        ),
        (
            {"minimum_performance": "0.9", "kinds": {"test": {"performance": {"max": "0.8"}}}},
            "minimum_above_max",
            "kinds.test.minimum_performance",
        ),
        ({"kinds": {"event": {"energy": None}}}, "kind_of_the_rule", "kinds.event"),
        (
            {
                "capacity": {"rate": "1", "unit": "kw-month"},
                "kinds": {"test": {"capacity": {"rate": "2", "unit": "kw-month"}}},
            },
            "period_capacity_of_kind",
            "kinds.test.capacity",
        ),
    ],
)
def test_what_would_have_no_effect_is_remarked_and_not_refused(
    members: dict[str, Any], code: str, path: str
) -> None:
    found = rule(**members)
    assert [(one.code, one.path) for one in found.remarks()] == [(code, path)]
    assert found.problems() == ()
    assert [words for words in words_of(found) if words.startswith(f"Probably not meant: {path} ")]


def test_members_of_a_kind_replace_those_of_the_rule_as_a_whole() -> None:
    found = rule(
        energy={"rate": "1.00"},
        delivered={"cap_ratio": "1.2", "floor": "none"},
        performance={"places": 2},
        kinds={
            "test": {"energy": None, "delivered": {"export": "counts"}, "performance": None},
            "voluntary": {},
        },
    )
    test = found.of_kind("test")
    assert test.energy is None
    assert test.delivered == Delivered(export="counts")
    assert test.performance == Performance()
    for kind in ("voluntary", "event"):
        assert found.of_kind(kind).energy == Energy(rate="1.00")
        assert found.of_kind(kind).delivered == found.delivered


def test_null_for_a_member_with_defaults_means_its_defaults() -> None:
    names = ("delivered", "missing", "results", "performance", "limits", "deadline")
    assert rule(**dict.fromkeys(names)).of_kind("event") == rule()


@given(structs_of(SettlementRule))
def test_a_stored_rule_is_read_as_it_was(stored: SettlementRule) -> None:
    assert msgspec.json.decode(msgspec.json.encode(stored), type=SettlementRule) == stored


@given(structs_of(SettlementRule))
def test_every_rule_of_the_schema_can_be_checked(stored: SettlementRule) -> None:
    assert all(problem.path and problem.detail for problem in stored.problems())
    assert all(remark.path and remark.detail for remark in stored.remarks())


def test_the_real_programmes_are_rules_without_problems() -> None:
    programmes = json.loads((DATA / "settlement_rules.json").read_text())
    for document in programmes.values():
        found = msgspec.convert(document["settlement"], SettlementRule)
        assert (found.problems(), found.remarks()) == ((), ())
        assert _given(msgspec.to_builtins(found), document["settlement"]) == document["settlement"]


def test_the_members_are_those_of_the_schema() -> None:
    schema = json.loads((DATA / "settlement_rule.schema.json").read_text())["properties"]
    assert {field.encode_name for field in msgspec.structs.fields(SettlementRule)} == schema.keys()
    of_kind = schema["kinds"]["additionalProperties"]["properties"]
    assert {field.encode_name for field in msgspec.structs.fields(KindOverride)} == of_kind.keys()


def _given(written: Any, document: Any) -> Any:
    """`written` without what the document leaves to its defaults."""
    if isinstance(written, dict) and isinstance(document, dict):
        return {name: _given(written.get(name), value) for name, value in document.items()}
    if isinstance(written, list | tuple) and isinstance(document, list):
        return [_given(*pair) for pair in zip(written, document, strict=True)]
    return written
