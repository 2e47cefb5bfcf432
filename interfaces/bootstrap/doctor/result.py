"""What a check of `gridproof doctor` comes to."""

from typing import Any, Literal

import msgspec

State = Literal["ok", "wrong", "not set"]


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What one check came to; `advice` says what to do about what is wrong."""

    check: str
    state: State
    detail: str
    advice: str = ""
    facts: dict[str, Any] = {}
    """For programs: what `detail` says in words, where there is more than one thing to it."""


class Wrong(Exception):
    """A check found something wrong."""

    def __init__(self, detail: str, advice: str) -> None:
        super().__init__(detail)
        self.advice = advice
