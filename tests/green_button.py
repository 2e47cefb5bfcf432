"""Generated Green Button feeds for tests."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

MARCH_RULE, NOVEMBER_RULE = "360E2000", "B40E2000"
"""Second Sunday of March and first of November, 02:00 local: North America."""


@dataclass(frozen=True)
class Interval:
    """`starts_at_s` None: the interval has no start time."""

    starts_at_s: int | None
    value: int | str | None
    duration_s: int | None = 900
    quality: str | None = None

    def xml(self) -> str:
        period = ""
        if self.starts_at_s is not None or self.duration_s is not None:
            duration = "" if self.duration_s is None else f"<duration>{self.duration_s}</duration>"
            start = "" if self.starts_at_s is None else f"<start>{self.starts_at_s}</start>"
            period = f"<timePeriod>{duration}{start}</timePeriod>"
        quality = (
            ""
            if self.quality is None
            else f"<ReadingQuality><quality>{self.quality}</quality></ReadingQuality>"
        )
        value = "" if self.value is None else f"<value>{self.value}</value>"
        return f"<IntervalReading><cost>97</cost>{quality}{period}{value}</IntervalReading>"


@dataclass(frozen=True)
class Meter:
    """One meter reading of a usage point, with its reading type."""

    blocks: Sequence[Sequence[Interval]]
    uom: int = 72
    power_of_ten: int = 0
    direction: int | None = 1
    accumulation: int = 4
    interval_s: int | None = 900
    default_quality: str | None = None
    block_start_s: int = 0


@dataclass(frozen=True)
class Point:
    """A usage point with its meter readings."""

    meters: Sequence[Meter]
    title: str = "fac-001"
    service: int = 0


@dataclass(frozen=True)
class Feed:
    """A complete file."""

    points: Sequence[Point]
    local_time: tuple[int, int, str, str] | None = field(default=(-18_000, 3_600, MARCH_RULE, NOVEMBER_RULE))
    blocks_first: bool = False

    def xml(self) -> str:
        entries, blocks = [], []
        if self.local_time is not None:
            entries.append(_local_time(*self.local_time))
        for number, point in enumerate(self.points):
            at = f"https://utility.example/espi/1_1/resource/UsagePoint/{number}"
            entries.append(
                _entry(
                    at,
                    f"{at}/..",
                    [f"{at}/MeterReading", "https://utility.example/espi/1_1/resource/LocalTimeParameters/1"],
                    point.title,
                    f"<UsagePoint {ESPI}><ServiceCategory><kind>{point.service}</kind></ServiceCategory></UsagePoint>",
                )
            )
            for which, meter in enumerate(point.meters):
                entries += _meter(f"{at}/MeterReading/{which}", f"{number}-{which}", meter)
                blocks += _blocks(f"{at}/MeterReading/{which}", meter)
        body = "".join([*blocks, *entries] if self.blocks_first else [*entries, *blocks])
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n<feed xmlns="http://www.w3.org/2005/Atom">'
            f"<id>urn:uuid:1</id><title>Green Button</title>\n{body}</feed>\n"
        )

    def write(self, path: Path) -> Path:
        path.write_text(self.xml())
        return path


ESPI = 'xmlns="http://naesb.org/espi"'


def _entry(itself: str, up: str, related: Sequence[str], title: str, content: str) -> str:
    links = "".join(f'<link rel="related" href="{href}"/>' for href in related)
    return (
        f'<entry><id>urn:uuid:2</id><link rel="self" href="{itself}"/><link rel="up" href="{up}"/>{links}'
        f"<title>{title}</title><content>{content}</content></entry>\n"
    )


def _local_time(tz_offset_s: int, dst_offset_s: int, starts: str, ends: str) -> str:
    at = "https://utility.example/espi/1_1/resource/LocalTimeParameters/1"
    return _entry(
        at,
        "",
        [],
        "",
        f"<LocalTimeParameters {ESPI}><dstEndRule>{ends}</dstEndRule><dstOffset>{dst_offset_s}</dstOffset>"
        f"<dstStartRule>{starts}</dstStartRule><tzOffset>{tz_offset_s}</tzOffset></LocalTimeParameters>",
    )


def _meter(at: str, name: str, meter: Meter) -> list[str]:
    kind = f"https://utility.example/espi/1_1/resource/ReadingType/{name}"
    fields = {
        "accumulationBehaviour": meter.accumulation,
        "commodity": 1,
        "defaultQuality": meter.default_quality,
        "flowDirection": meter.direction,
        "intervalLength": meter.interval_s,
        "kind": 12,
        "powerOfTenMultiplier": meter.power_of_ten,
        "uom": meter.uom,
    }
    said = "".join(f"<{name}>{value}</{name}>" for name, value in fields.items() if value is not None)
    return [
        _entry(at, at.rpartition("/")[0], [f"{at}/IntervalBlock", kind], "", f"<MeterReading {ESPI}/>"),
        _entry(kind, kind.rpartition("/")[0], [], "", f"<ReadingType {ESPI}>{said}</ReadingType>"),
    ]


def _blocks(at: str, meter: Meter) -> list[str]:
    found = []
    for number, block in enumerate(meter.blocks):
        start = meter.block_start_s or next((i.starts_at_s for i in block if i.starts_at_s is not None), 0)
        interval = f"<interval><duration>86400</duration><start>{start}</start></interval>"
        content = f"<IntervalBlock {ESPI}>{interval}{''.join(i.xml() for i in block)}</IntervalBlock>"
        found.append(_entry(f"{at}/IntervalBlock/{number}", f"{at}/IntervalBlock", [], "", content))
    return found


def one_meter(*intervals: Interval, **said: object) -> Feed:
    """A feed of one usage point with one meter reading and one block."""
    return Feed([Point([Meter([list(intervals)], **said)])])  # type: ignore[arg-type]  # as the caller says


def seconds(year: int, month: int, day: int, hour: int = 0) -> int:
    """Seconds since 1970 of a time in UTC."""
    return int(datetime(year, month, day, hour, tzinfo=UTC).timestamp())
