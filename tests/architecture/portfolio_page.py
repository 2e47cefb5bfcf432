"""The tables of docs/guides/portfolio.md and the JSON schema of the portfolio file, made from the code:

    python tests/architecture/portfolio_page.py --write

Of each field the code says the values and the default; what it does is written by hand, in the last column of the page.
A heading `### zone` stands for the struct of that name in OBJECTS.
"""

import json
import re
import sys
from collections.abc import Iterator
from itertools import dropwhile
from pathlib import Path
from typing import Any, get_args

import msgspec
from msgspec import inspect

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from application.facility import portfolio_entries as entries  # noqa: E402 - run as a script too
from domain.baseline import BaselineParameters  # noqa: E402
from domain.program import SettlementRule, WindowTerms, settlement_rule, window  # noqa: E402
from domain.units import DecimalString, KilowattString  # noqa: E402

PAGE = ROOT / "docs" / "guides" / "portfolio.md"
SCHEMA = ROOT / "application" / "facility" / "portfolio.schema.json"
OBJECTS: dict[str, type[msgspec.Struct]] = {
    "the file": entries.Portfolio,
    "utility": entries.UtilityEntry,
    "program": entries.ProgramEntry,
    "baseline": entries.BaselineEntry,
    "baseline parameters": BaselineParameters,
    "window": WindowTerms,
    "hours": window.Hours,
    "season": window.Season,
    "settlement": SettlementRule,
    "delivered": settlement_rule.Delivered,
    "missing": settlement_rule.Missing,
    "results": settlement_rule.Results,
    "performance": settlement_rule.Performance,
    "capacity": settlement_rule.Capacity,
    "tier": settlement_rule.Tier,
    "rate from event": settlement_rule.RateFromEvent,
    "energy": settlement_rule.Energy,
    "penalty": settlement_rule.Penalty,
    "limits": settlement_rule.Limits,
    "kind": settlement_rule.KindOverride,
    "deadline": settlement_rule.Deadline,
    "facility": entries.FacilityEntry,
    "meter": entries.MeterEntry,
    "zone": entries.ZoneEntry,
    "bms": entries.BmsEntry,
    "enrolment": entries.EnrolmentEntry,
}
NAMES = {kind: name for name, kind in OBJECTS.items()}
HEAD = "| field | values | default | what it does |\n|---|---|---|---|\n"
ROW = re.compile(r"^\| `([a-z0-9_]+)` \| (.*) \| (.*) \| (.*) \|$", re.MULTILINE)
PATTERNS: dict[str, Any] = {
    "id": entries.Identifier,
    "ISO 3166 region": entries.Region,
    "decimal in quotes": DecimalString,
    "decimal in quotes, at least 0": KilowattString,
    '`"00:00"` to `"24:00"`': window.HourOfDay,
    '`"01-01"` to `"12-31"`': window.DayOfYear,
}
PLAIN: dict[type[inspect.Type], str] = {
    inspect.BoolType: "`true`, `false`",
    inspect.DateType: "date",
    inspect.DateTimeType: "time with its offset",
}
WORDS = {r"^[A-Z]{3}(?!\n)$": "three capital letters"}
WORDS |= {get_args(annotated)[1].pattern: word for word, annotated in PATTERNS.items()}


def tables(page: str) -> dict[str, dict[str, tuple[str, str, str]]]:
    """Heading -> field -> its values, its default and what it does, as the page has them."""
    found = {}
    for section in page.split("\n### ")[1:]:
        heading = section.partition("\n")[0]
        if heading in OBJECTS:
            found[heading] = {name: (a, b, c) for name, a, b, c in ROW.findall(section.partition("\n## ")[0])}
    return found


def with_tables(page: str) -> str:
    """The page with the columns of the code; a new field has an empty last column."""
    written, (before, *sections) = tables(page), page.split("\n### ")
    parts = [before]
    for section in sections:
        heading, _, rest = section.partition("\n")
        if heading in OBJECTS:
            start, _, table = rest.partition(HEAD)
            after = "".join(dropwhile(lambda line: line.startswith("|"), table.splitlines(keepends=True)))
            rest = start + HEAD + "".join(_rows(OBJECTS[heading], written[heading])) + after
        parts.append(f"{heading}\n{rest}")
    return "\n### ".join(parts)


def _rows(kind: type[msgspec.Struct], written: dict[str, tuple[str, str, str]]) -> Iterator[str]:
    for field in _fields(kind):
        effect = written.get(field.encode_name, ("", "", ""))[2]
        yield f"| `{field.encode_name}` | {values_of(field.type)} | {default_of(field)} | {effect} |\n"


def _fields(kind: type[msgspec.Struct]) -> tuple[inspect.Field, ...]:
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    return info.fields


def default_of(field: inspect.Field) -> str:
    if field.required:
        return "required"
    if field.default is msgspec.NODEFAULT and field.default_factory is msgspec.NODEFAULT:
        return "that of the rule"  # of the members of a kind
    default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    if isinstance(default, msgspec.Struct):
        return "its own defaults"
    text = json.dumps(msgspec.to_builtins(default), ensure_ascii=False)
    return "none" if text == "null" else f"`{text}`"


def values_of(kind: inspect.Type) -> str:
    """The type with its bounds, for people."""
    if type(kind) in PLAIN:
        return PLAIN[type(kind)]
    if isinstance(kind, inspect.IntType):
        return f"whole number{_bounds(kind)}"
    if isinstance(kind, inspect.FloatType):
        return f"number{_bounds(kind)}"
    return _text(kind) if isinstance(kind, inspect.StrType) else _composed(kind)


def _composed(kind: inspect.Type) -> str:
    match kind:
        case inspect.UnionType():
            return " or ".join(values_of(one) for one in kind.types if not isinstance(one, inspect.NoneType))
        case inspect.StructType():
            name = NAMES[kind.cls]
            return f"[{name}](#{name.replace(' ', '-')})"
        case inspect.VarTupleType():
            most = "" if kind.max_length is None else f", at most {kind.max_length:,}"
            return f"list of {values_of(kind.item_type)}{most}"
        case inspect.DictType():
            return f"name: {values_of(kind.value_type)}, at most {kind.max_length}"
        case inspect.LiteralType():
            return ", ".join(f"`{value}`" for value in kind.values)
    raise TypeError(f"no words for {kind}")


def _text(kind: inspect.StrType) -> str:
    most = "" if kind.max_length is None else f", at most {kind.max_length:,} characters"
    return f"text{most}" if kind.pattern is None else WORDS[kind.pattern]


def _bounds(kind: inspect.IntType | inspect.FloatType) -> str:
    low = "" if kind.ge is None else f", {kind.ge:,}"
    low = low if kind.gt is None else f", above {kind.gt:,}"
    return f"{low} to {kind.le:,}" if kind.le is not None else (f"{low} or more" if low else "")


def schema_text(page: str) -> str:
    """The JSON schema, with what the page says of each field."""
    schema = msgspec.json.schema(entries.Portfolio)
    effects = tables(page)
    for name, definition in schema["$defs"].items():
        heading = next(NAMES[kind] for kind in NAMES if kind.__name__ == name)
        definition.pop("description", None)
        definition["additionalProperties"] = False
        for field, described in definition["properties"].items():
            described["description"] = effects[heading][field][2]
    whole: dict[str, Any] = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    new_page = with_tables(PAGE.read_text(encoding="utf-8"))
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(new_page, encoding="utf-8")
        SCHEMA.write_text(schema_text(new_page), encoding="utf-8")
    else:
        sys.stdout.write(new_page)
