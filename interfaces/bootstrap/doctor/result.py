"""CheckResult: the result of one check of `gridproof doctor`."""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

State = Literal["ok", "warning", "wrong", "not set"]
"""`wrong` makes the command fail; `warning` does not."""


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """`advice` says what to do when the state is `warning` or `wrong`."""

    check: str
    state: State
    detail: str
    advice: str = ""
    facts: dict[str, Any] = {}
    """For programs: the values that `detail` states in words."""


MOST_NAMED = 20


def named_first(names: Sequence[str]) -> str:
    """The first MOST_NAMED of them, and how many more there are."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


class CheckFailed(Exception):
    """Raised by a check that found a problem; `advice` says what to do."""

    def __init__(self, detail: str, advice: str) -> None:
        super().__init__(detail)
        self.advice = advice
