"""Precomputed layouts of the contract's messages, read from the WSDL by zeep, for fast writing and reading.

zeep walks its own objects for every message, which costs ten times as much as the XML itself. It still converts the
values of the contract's types (numbers, times, booleans).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from lxml import etree


class Shape:
    """An element that holds a value, or a sequence of elements, each at most once."""

    __slots__ = ("_leaf", "_parts", "is_optional", "name", "tag")

    def __init__(self, element: Any) -> None:
        """`element` is zeep's. Raises TypeError for a construct that these contracts do not use."""
        self.tag: str = element.qname.text
        self.name: str = element.qname.localname
        self.is_optional = element.min_occurs == 0
        self._leaf: Any = None
        self._parts: dict[str, Shape] = {}
        if not hasattr(element.type, "elements"):
            self._leaf = element.type
            return
        if element.type.attributes or any(part.accepts_multiple for _, part in element.type.elements):
            raise TypeError(f"{self.tag} has attributes or repeated elements: not a shape of these contracts")
        self._parts = {(shape := Shape(part)).tag: shape for _, part in element.type.elements}

    def write(self, parent: etree._Element, value: Any) -> etree._Element:
        """Appends the element to `parent`. Raises ValueError for values of another shape."""
        element = etree.SubElement(parent, self.tag)
        if self._leaf is not None:
            element.text = self._leaf.xmlvalue(value)
            return element
        written = 0
        for part in self._parts.values():
            given = value.get(part.name)
            if given is not None:
                part.write(element, given)
            elif not part.is_optional:
                raise ValueError(f"{self.name} lacks {part.name}")
            written += part.name in value
        if written != len(value):
            raise ValueError(
                f"{self.name} has no {sorted(value.keys() - {p.name for p in self._parts.values()})}"
            )
        return element

    def read(self, element: etree._Element) -> Any:
        """The value of a valid element (times in UTC), or its parts as attributes; None for a part that is absent.

        Raises ValueError for a time outside Python's calendar.
        """
        if self._leaf is not None:
            value = self._leaf.pythonvalue(element.text or "")
            return _utc(value) if isinstance(value, datetime) else value
        values: dict[str, Any] = dict.fromkeys(part.name for part in self._parts.values())
        for child in element:
            part = self._parts[child.tag]
            values[part.name] = part.read(child)
        return SimpleNamespace(**values)


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"no moment of the calendar: {moment}") from error


class OperationShapes:
    """The request, the response and the declared faults of one operation."""

    __slots__ = ("answer", "faults", "headers", "request")

    def __init__(self, operation: Any, faults: Mapping[str, Shape]) -> None:
        self.request = Shape(operation.input.body)
        self.answer = Shape(operation.output.body)
        self.faults = {name: faults[name] for name in operation.faults}
        self.headers = {
            "SOAPAction": f'"{operation.soapaction}"',
            "Content-Type": "text/xml; charset=utf-8",
        }
