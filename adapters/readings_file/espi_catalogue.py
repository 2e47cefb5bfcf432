"""The catalogue of a Green Button feed: its usage points, their meter readings, and the owner of each block of
intervals.

A feed is a flat list of entries that refer to each other by links (NAESB REQ.21), in any order. So the file is read
once for this and once more for the intervals.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from sys import intern

from adapters.readings_file.xml_walk import walk
from application.ports.history_import import BadValue, UnreadableFile

MAX_ENTRIES = 1_000_000
MAX_LINKS = 1_000
"""The maximum number of links of one entry."""
MAX_LINK = 1_000
"""Characters."""
_KINDS = frozenset({"UsagePoint", "MeterReading", "ReadingType", "IntervalBlock", "LocalTimeParameters"})
_FIELDS = frozenset(
    {
        "ReadingType/accumulationBehaviour",
        "ReadingType/defaultQuality",
        "ReadingType/flowDirection",
        "ReadingType/intervalLength",
        "ReadingType/powerOfTenMultiplier",
        "ReadingType/uom",
        "UsagePoint/ServiceCategory/kind",
        "LocalTimeParameters/dstEndRule",
        "LocalTimeParameters/dstOffset",
        "LocalTimeParameters/dstStartRule",
        "LocalTimeParameters/tzOffset",
    }
)


@dataclass
class Entry:
    """An entry of the feed; of an IntervalBlock only its link upwards is stored."""

    line: int
    kind: str = ""
    title: str = ""
    itself: str = ""
    up: str = ""
    related: list[str] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)

    def number(self, path: Path, name: str, default: int | None) -> int:
        """The field as a whole number. Raises BadValue."""
        written = self.fields.get(name, "")
        if not written and default is not None:
            return default
        return whole_number(path, self.line, name, written)


def whole_number(path: Path, line: int, name: str, written: str) -> int:
    """An integer of at most 64 bits, as in ESPI. Raises BadValue."""
    try:
        value = int(written) if len(written) <= 20 and written.isascii() else None
    except ValueError:
        value = None
    if value is None or not -(2**63) <= value < 2**63:
        raise BadValue(path, line, f"{name} {written[:40]!r} is no whole number of 64 bits")
    return value


@dataclass(frozen=True)
class Catalogue:
    """Entries by kind, and for each entry of the feed (in its order) the link that its blocks belong to ("" for
    none).

    Entries are found by their links, and the first in the feed's order counts. The lookups are indexed, since a
    feed may have a million entries.
    """

    entries: Mapping[str, list[Entry]]
    blocks: list[str]

    # Where no link says which, the feed's only entry of the kind is meant.

    def reading_type_of(self, meter_reading: Entry) -> Entry | None:
        result = self._first("ReadingType", (self._types.get(link) for link in meter_reading.related))
        return result or _only(self.entries["ReadingType"])

    def usage_point_of(self, meter_reading: Entry) -> Entry | None:
        above = (self._points.get(parent) for parent in _parents(meter_reading.itself))
        result = self._first("UsagePoint", (self._related_points.get(meter_reading.up), *above))
        return result or _only(self.entries["UsagePoint"])

    def meter_reading_of(self, block_up: str) -> Entry | None:
        by_name = self._readings.get(_parent(block_up)) if block_up.endswith("/IntervalBlock") else None
        result = self._first("MeterReading", (self._related_readings.get(block_up), by_name))
        return result or _only(self.entries["MeterReading"])

    def _first(self, kind: str, places: Iterable[int | None]) -> Entry | None:
        """The first of those places among the entries of that kind."""
        first = min((place for place in places if place is not None), default=None)
        return None if first is None else self.entries[kind][first]

    @cached_property
    def _types(self) -> dict[str, int]:
        return _places((one.itself,) for one in self.entries["ReadingType"])

    @cached_property
    def _points(self) -> dict[str, int]:
        return _places((one.itself,) for one in self.entries["UsagePoint"])

    @cached_property
    def _related_points(self) -> dict[str, int]:
        return _places(one.related for one in self.entries["UsagePoint"])

    @cached_property
    def _readings(self) -> dict[str, int]:
        return _places((one.itself,) for one in self.entries["MeterReading"])

    @cached_property
    def _related_readings(self) -> dict[str, int]:
        return _places(one.related for one in self.entries["MeterReading"])


def _places(links: Iterable[Iterable[str]]) -> dict[str, int]:
    """Link -> the first entry with it."""
    result: dict[str, int] = {}
    for place, some in enumerate(links):
        for link in some:
            result.setdefault(link, place)
    return result


def _parents(href: str) -> Iterator[str]:
    """Each prefix of the link that ends before a slash."""
    at = href.find("/")
    while at >= 0:
        yield href[:at]
        at = href.find("/", at + 1)


def _only(entries: list[Entry]) -> Entry | None:
    return entries[0] if len(entries) == 1 else None


class _Listing:
    """Visits the feed and stores everything that is not an interval."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inside: list[str] = []
        self._entry: Entry | None = None
        self._content_at = 0
        self.result: dict[str, list[Entry]] = {kind: [] for kind in _KINDS}
        self.blocks: list[str] = []

    def begin(self, name: str, attributes: dict[str, str], line: int) -> None:
        self._inside.append(name)
        if name == "atom:entry":
            if len(self.blocks) >= MAX_ENTRIES:
                raise UnreadableFile(self._path, line, f"has more than {MAX_ENTRIES} entries")
            self._entry, self._content_at = Entry(line), 0
        elif self._entry is None:
            return
        elif name == "atom:link":
            self._link(self._entry, attributes, line)
        elif name == "atom:content":
            self._content_at = len(self._inside)
        elif self._content_at == len(self._inside) - 1 and name.removeprefix("espi:") in _KINDS:
            self._entry.kind = name.removeprefix("espi:")

    def _link(self, entry: Entry, attributes: dict[str, str], line: int) -> None:
        written = attributes.get("href", "").strip()
        if len(written) > MAX_LINK:
            raise UnreadableFile(self._path, line, f"has a link of more than {MAX_LINK} characters")
        href = intern(written.rstrip("/"))
        match attributes.get("rel", ""):
            case "self":
                entry.itself = href
            case "up":
                entry.up = href
            case "related":
                if len(entry.related) >= MAX_LINKS:
                    raise UnreadableFile(self._path, line, f"has an entry of more than {MAX_LINKS} links")
                entry.related.append(href)

    def end(self, name: str, text: str, line: int) -> None:
        if (entry := self._entry) is not None:
            if name == "atom:entry":
                self._close(entry)
            elif name == "atom:title" and self._inside[-2] == "atom:entry":
                entry.title = text
            elif self._content_at and entry.kind not in ("", "IntervalBlock"):
                where = "/".join(one.removeprefix("espi:") for one in self._inside[self._content_at :])
                if where in _FIELDS:
                    entry.fields[where] = text
        self._inside.pop()

    def _close(self, entry: Entry) -> None:
        is_block = entry.kind == "IntervalBlock"
        self.blocks.append(entry.up or _parent(entry.itself) if is_block else "")
        if entry.kind and not is_block:
            self.result[entry.kind].append(entry)
        self._entry = None


def _parent(href: str) -> str:
    return href.rpartition("/")[0]


def read_catalogue(path: Path) -> Catalogue:
    """Raises UnreadableFile."""
    listing = _Listing(path)
    for _ in walk(path, listing):
        pass
    if not listing.blocks:
        raise UnreadableFile(path, None, "is no Green Button feed: it has no entry")
    return Catalogue(listing.result, listing.blocks)
