"""InfluxDB's line protocol, with times in microseconds.

Our own code, since the client's Point takes twenty times as long for each row.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from math import isfinite

FieldValue = float | int | bool | str | None

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_TAG = str.maketrans({",": "\\,", "=": "\\=", " ": "\\ "})
_TEXT = str.maketrans({"\\": "\\\\", '"': '\\"'})
_UNSTORABLE = frozenset("\0\n\r\\")


class Unstorable(ValueError):
    """A text that the line protocol cannot represent; the message says which."""


def microseconds(moment: datetime) -> int:
    """Microseconds since the epoch, exactly."""
    return (moment - _EPOCH) // _MICROSECOND


def moment_of(us: int) -> datetime:
    return _EPOCH + us * _MICROSECOND


def tag(value: str) -> str:
    """`value` escaped for a line. Raises Unstorable: an empty tag does not exist, a line break ends the line, and the
    meaning of a backslash in a tag depends on the next character."""
    if not value or not _UNSTORABLE.isdisjoint(value):
        raise Unstorable(f"{value!r} cannot be a tag of InfluxDB")
    return value.translate(_TAG)


def line(measurement: str, tags: Mapping[str, str], fields: Mapping[str, FieldValue], at_us: int) -> str:
    """A row; tags as `tag` returned them. Fields that are None, NaN or infinite are left out; at least one remains."""
    written = [f"{name}={text}" for name, value in fields.items() if (text := _field(value)) is not None]
    of = "".join(f",{name}={value}" for name, value in tags.items())
    return f"{measurement}{of} {','.join(written)} {at_us}"


def _field(value: FieldValue) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value}i"
    if isinstance(value, float):
        return repr(value) if isfinite(value) else None
    return f'"{value.translate(_TEXT)}"'
