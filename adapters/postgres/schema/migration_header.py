"""What a migration says of itself in its first line: `-- expand`, or `-- contract: needs release X.Y`."""

import re
from typing import Literal

import msgspec

Kind = Literal["expand", "contract"]
_LABEL = re.compile(r"-- (expand|contract: needs release (\d+\.\d+(?:\.\d+)?))\s*$")
_RELEASE = re.compile(r"\d+(\.\d+){1,2}")


class Label(msgspec.Struct, frozen=True):
    kind: Kind
    needs_release: str | None = None
    """Every process of the system is of this release or a newer one before it is applied."""


def label_of(sql: str) -> Label | None:
    """What the first line says; None where it says nothing."""
    found = _LABEL.match(sql.partition("\n")[0])
    if found is None:
        return None
    return Label("expand") if found[1] == "expand" else Label("contract", found[2])


def release_of(written: str) -> tuple[int, ...]:
    """`1.2` or `1.2.3`, to be compared; 1.2 is 1.2.0. Raises ValueError."""
    if _RELEASE.fullmatch(written) is None:
        raise ValueError(f"{written!r} is no release, such as 1.2 or 1.2.3")
    numbers = tuple(map(int, written.split(".")))
    return numbers + (0,) * (3 - len(numbers))
