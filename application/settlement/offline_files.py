"""program.json, event.json and an earlier result, as `gridproof settlement compute` reads them."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from application.field_problems import wrong_fields
from application.settlement.shapes import ComputedSettlements, EventInputs, ProgramInputs, SettlementDocument
from domain.baseline import METHODS, InvalidBaselineRule, rule_named
from domain.event_sourcing.decoders import converted
from domain.program import BaselineTerms, SettlementRule

MOST_BYTES = 64 * 2**20
"""Of a program or an event: 10,000 facilities need about 4 MiB."""
MOST_EARLIER_BYTES = 256 * 2**20
"""Of an earlier result: 10,000 facilities of one DR event have about 25 MiB."""
MOST_FACILITIES = 50_000
LONGEST_WINDOW = timedelta(days=31)
MOST_PROBLEMS = 20
TIMES = frozenset({"starts_at", "ends_at", "ended_at", "opted_out_at", "from"})


class SettlementRefused(ValueError):
    """No settlement: `code` is one of `schema`, `price_missing`, `unknown_kind` and `deadline`. `problems`: what is
    wrong with a file, member by member."""

    def __init__(self, code: str, detail: str, problems: Sequence[str] = ()) -> None:
        super().__init__(detail)
        self.code, self.detail, self.problems = code, detail, tuple(problems)


def read_program(written: bytes) -> ProgramInputs:
    """Raises SettlementRefused, which names every wrong member."""
    document = _given(_object(written, "the program", MOST_BYTES))
    problems = list(_of_program(document))
    if problems:
        raise _wrong("the program", problems)
    return converted(document, ProgramInputs)


def read_event(written: bytes, *, tz_of: Callable[[str], str]) -> EventInputs:
    """`tz_of`: facility -> the time zone where its entry has none. Raises SettlementRefused."""
    document = _given(_object(written, "the event", MOST_BYTES))
    facilities = document.get("facilities")
    if isinstance(facilities, list):
        if len(facilities) > MOST_FACILITIES:
            raise SettlementRefused(
                "schema",
                f"the event has {len(facilities)} facilities; at most {MOST_FACILITIES} are settled at once",
            )
        document["facilities"] = [_with_tz(one, tz_of) for one in facilities]
    times: list[str] = []
    try:
        document = _in_utc(document, "", times)
    except RecursionError as error:
        raise SettlementRefused("schema", "the event is nested too deeply") from error
    problems = times + list(wrong_fields(document, EventInputs, others_allowed=True))
    if problems:
        raise _wrong("the event", problems)
    found = converted(document, EventInputs)
    problems = list(_of_event(found))
    if problems:
        raise _wrong("the event", problems)
    return found


def read_earlier(written: bytes) -> dict[str, SettlementDocument]:
    """DR event -> its latest revision in an earlier result of this command, or in one settlement's document."""
    document = _object(written, "the earlier settlement", MOST_EARLIER_BYTES)
    try:
        if "settlements" in document:
            settlements = converted(document, ComputedSettlements).settlements
        else:
            settlements = (converted(document, SettlementDocument),)
    except msgspec.ValidationError as error:
        raise _wrong("the earlier settlement", [str(error)]) from error
    latest = sorted(settlements, key=lambda one: one.revision)
    return {one.dr_event_id: one for one in latest}


def read_rules(written: bytes) -> dict[str, SettlementRule]:
    """A rule, that of a program.json, or those of several programs by name. A rule without name: "". Raises
    SettlementRefused."""
    document = _object(written, "the rule", MOST_BYTES)
    found = {}
    problems: list[str] = []
    for name, path, rule in _rules_in(document):
        wrong = list(rule_problems(rule, path))
        if isinstance(rule, dict) and "schema" not in rule:
            wrong.append(f"{_below(path, 'schema')}: is missing; write settlement-rule/1")
        problems += wrong
        if not wrong:
            found[name] = converted(rule, SettlementRule)
    if problems:
        raise _wrong("the rule", problems)
    return found


def _rules_in(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Name, path and rule."""
    programs = {name: one for name, one in document.items() if isinstance(one, dict) and "settlement" in one}
    if "settlement" in document:
        yield str(document.get("program_id", "")), "settlement", document["settlement"]
    elif programs and len(programs) == len(document):
        for name, program in programs.items():
            yield name, f"{name}.settlement", program["settlement"]
    else:
        yield "", "", document


def rule_problems(document: Any, path: str) -> Iterator[str]:
    """Everything that is wrong with a rule, each with its member's path: "capacity.tiers: tiers_not_rising: ..."."""
    wrong = list(wrong_fields(document, SettlementRule, path))
    yield from wrong
    if not wrong:
        for problem in converted(document, SettlementRule).problems():
            yield f"{_below(path, problem.path)}: {problem.code}: {problem.detail}"


def _below(path: str, member: str) -> str:
    return f"{path}.{member}" if path else member


def _object(written: bytes, what: str, most_bytes: int) -> dict[str, Any]:
    if len(written) > most_bytes:
        raise SettlementRefused("schema", f"{what} has {len(written)} bytes; at most {most_bytes} are read")
    try:
        document = json.loads(written, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise SettlementRefused("schema", f"{what} is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise SettlementRefused("schema", f"{what} is no JSON object")
    return document


def _no_number(constant: str) -> Any:
    raise ValueError(f"{constant} is no number of JSON")


def _wrong(what: str, problems: Iterable[str]) -> SettlementRefused:
    named = list(dict.fromkeys(problems))
    more = [f"{len(named) - MOST_PROBLEMS} more"] if len(named) > MOST_PROBLEMS else []
    return SettlementRefused("schema", f"{what}: " + "; ".join([*named[:MOST_PROBLEMS], *more]), named)


def _of_program(document: Mapping[str, Any]) -> Iterator[str]:
    if document.get("settlement") is None:
        yield "settlement: is missing; without a rule nothing is settled"
    else:
        yield from rule_problems(document["settlement"], "settlement")
    rest = {name: value for name, value in document.items() if name != "settlement"}
    wrong = [
        problem
        for problem in wrong_fields(rest, ProgramInputs, others_allowed=True)
        if not problem.startswith("settlement: ")
    ]
    yield from wrong
    if not wrong:
        yield from _of_baseline(document["baseline"])


def _of_baseline(document: Any) -> Iterator[str]:
    baseline = converted(document, BaselineTerms)
    if baseline.method not in METHODS:
        yield f"baseline.method: there is no method {baseline.method!r}; use {', '.join(METHODS)}"
        return
    level_kw = baseline.parameters.level_kw or 0.0
    try:
        rule_named(baseline.method, msgspec.structs.replace(baseline.parameters, level_kw=level_kw))
    except InvalidBaselineRule as error:
        yield f"baseline.parameters: {error}"


def _with_tz(facility: Any, tz_of: Callable[[str], str]) -> Any:
    if not isinstance(facility, dict):
        return facility
    given = _given(facility)
    return given if "tz" in given else given | {"tz": tz_of(str(facility.get("facility_id")))}


def _given(document: dict[str, Any]) -> dict[str, Any]:
    """Without the members that are null, which have their defaults."""
    return {name: value for name, value in document.items() if value is not None}


def _in_utc(value: Any, path: str, problems: list[str]) -> Any:
    """The document with its times in UTC; a time without offset is a problem, because its zone would be a guess."""
    if isinstance(value, list):
        return [_in_utc(one, f"{path}[{number}]", problems) for number, one in enumerate(value)]
    if not isinstance(value, dict):
        return value
    return {
        name: _moment(one, _below(path, name), problems)
        if name in TIMES and isinstance(one, str)
        else _in_utc(one, _below(path, name), problems)
        for name, one in value.items()
    }


def _moment(written: str, path: str, problems: list[str]) -> str:
    try:
        found = datetime.fromisoformat(written)
        if found.tzinfo is not None:
            return found.astimezone(UTC).isoformat()
        problems.append(f"{path}: {written!r} has no UTC offset; add Z or one such as -04:00")
    except (ValueError, OverflowError):
        problems.append(f"{path}: {written!r} is not ISO 8601, such as 2026-07-14T21:00:00Z")
    return "2000-01-01T00:00:00Z"


def _of_event(found: EventInputs) -> Iterator[str]:
    if found.ends_at <= found.starts_at:
        yield "ends_at: is not after starts_at"
    elif found.ends_at - found.starts_at > LONGEST_WINDOW:
        yield f"ends_at: is more than {LONGEST_WINDOW.days} days after starts_at"
    if found.status == "cancelled_while_active" and found.ended_at is None:
        yield "ended_at: is missing; give the moment of the cancellation"
    seen: set[str] = set()
    for number, facility in enumerate(found.facilities):
        path = f"facilities[{number}]"
        if facility.level_kw is not None and not isfinite(facility.level_kw):
            yield f"{path}.level_kw: is no finite number"
        if facility.facility_id in seen:
            yield f"{path}.facility_id: {facility.facility_id!r} stands there twice"
        seen.add(facility.facility_id)
        try:
            ZoneInfo(facility.tz)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            yield f"{path}.tz: {facility.tz!r} is no IANA time zone, such as Europe/London"
        if facility.committed_kw.startswith("-"):
            yield f"{path}.committed_kw: must not be below 0"
