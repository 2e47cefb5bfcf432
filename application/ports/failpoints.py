"""Failpoints: named places where a test can make a process kill itself."""

from collections.abc import Callable

Failpoint = Callable[[str, str], None]
"""`reached(name, what_is_in_flight)`."""


def no_failpoint(name: str, in_flight: str) -> None:
    """The failpoint of production: it does nothing."""
