"""Where two settlement documents differ, down to the member; pure.

A document whose digest was not recorded is the text of somebody else: of it only numbers and times are repeated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from application.ledger.recomputation.differences import FigureDifference
from application.settlement.shapes import SettlementDocument

WORDING = frozenset({"flags", "formula", "origins"})
"""Members that explain the others. Their words may change between releases."""
ANOTHER = "another text"
_ORDER = ("inputs", "total", "lines", "status", "reasons", "resettlement", "units", "facilities")
_NAMES = {"inputs.program.settlement": "rule", "inputs.event": "event", "inputs.program": "program"}
_KEYS = (("facility_id",), ("unit", "component"), ("unit",), ("starts_at",), ("from",), ("why",))
_PLAIN = re.compile(r"[-+]?[0-9][-+0-9.:TZ]{0,63}")
_MOST_TEXT = 120


def member_differences(
    recorded: Mapping[str, Any], found: SettlementDocument, *, is_recorded: bool
) -> Iterator[FigureDifference]:
    """`recorded` as JSON. `is_recorded`: the log has its digest. Then members that this release alone has, or does not
    know, are no difference; and the wording is named only in a document of which the log has no digest, where nothing
    else differs."""
    other = plain_values(found)
    names = (*_ORDER, *(name for name in other if name not in _ORDER))
    for leave_out in (WORDING, frozenset[str]()):
        is_named = False
        comparison = _Comparison(is_recorded, leave_out)
        for name in names:
            for difference in comparison.between(recorded.get(name), other[name], name):
                is_named = True
                yield difference
        if is_named or is_recorded:
            return


def plain_values(document: SettlementDocument) -> dict[str, Any]:
    values: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(document))
    return values


def plain_or_another(value: object) -> str:
    """A value that no digest covers: a number or a time as it is, else not a word of it."""
    return value if isinstance(value, str) and _PLAIN.fullmatch(value) else ANOTHER


class _Comparison:
    def __init__(self, is_recorded: bool, leave_out: frozenset[str]) -> None:
        self._is_recorded, self._leave_out = is_recorded, leave_out

    def between(self, one: Any, other: Any, path: str) -> Iterator[FigureDifference]:
        if one == other or path.rsplit(".", 1)[-1] in self._leave_out:
            return
        match one, other:
            case dict(), dict():
                yield from self._of_members(one, other, f"{path}.")
            case list(), list() if (keys := _key_of(one, other)) is not None:
                yield from self._of_members(_by_key(one, keys), _by_key(other, keys), path, in_brackets=True)
            case list(), list():
                yield from self._of_members(
                    dict(enumerate(one)), dict(enumerate(other)), path, in_brackets=True
                )
            case _:
                yield FigureDifference(what=_named(path), recorded=self._said(one), recomputed=_text(other))

    def _of_members(
        self, one: Mapping[Any, Any], other: Mapping[Any, Any], path: str, *, in_brackets: bool = False
    ) -> Iterator[FigureDifference]:
        names = [*other, *(name for name in one if name not in other)]
        if self._is_recorded and not in_brackets:
            names = [name for name in other if name in one]
        for name in names:
            shown = name if name in other or self._is_recorded or isinstance(name, int) else "another one"
            place = f"{path}[{shown}]" if in_brackets else f"{path}{shown}"
            if name not in other:
                yield FigureDifference(what=_named(place), recorded=self._said(one[name]))
            elif name not in one:
                yield FigureDifference(what=_named(place), recomputed=_text(other[name]))
            else:
                yield from self.between(one[name], other[name], place)

    def _said(self, value: Any) -> str:
        """A value of the document in the file."""
        if self._is_recorded or isinstance(value, bool | int | float | None):
            return _text(value)
        return plain_or_another(value)


def _key_of(one: Sequence[Any], other: Sequence[Any]) -> tuple[str, ...] | None:
    """The members by which the elements of both can be told apart."""
    elements = [*one, *other]
    if not all(isinstance(element, dict) for element in elements):
        return None
    for names in _KEYS:
        if all(name in element for name in names for element in elements) and all(
            len(_by_key(part, names)) == len(part) for part in (one, other)
        ):
            return names
    return None


def _by_key(elements: Sequence[Any], names: Sequence[str]) -> dict[str, Any]:
    return {" ".join(str(element[name]) for name in names): element for element in elements}


def _named(path: str) -> str:
    for prefix, name in _NAMES.items():
        if path.startswith(prefix):
            return name + path[len(prefix) :]
    return path


def _text(value: Any) -> str:
    if value is None:
        return "none"
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}..."
