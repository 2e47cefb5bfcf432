"""The release of this code. Each session of PostgreSQL says it, so that `gridproof migrate` sees which releases run."""

import re

RELEASE = "0.2.0"
"""Also in pyproject.toml. Raised by the first change after a release: what is developed counts as the next one."""
_RELEASE = re.compile(r"\d+(\.\d+){1,2}")


def release_of(written: str) -> tuple[int, ...]:
    """`1.2` or `1.2.3` as a comparable tuple; 1.2 equals 1.2.0. Raises ValueError."""
    if _RELEASE.fullmatch(written) is None:
        raise ValueError(f"{written!r} is no release, such as 1.2 or 1.2.3")
    numbers = tuple(map(int, written.split(".")))
    return numbers + (0,) * (3 - len(numbers))
