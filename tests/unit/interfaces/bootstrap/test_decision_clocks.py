"""What passes over a change because it came too late has the clock that refuses to answer while it is wrong."""

from typing import Any

from interfaces.bootstrap.operations import remeasuring


class StubStores:
    """Any store is itself."""

    clock, decision_clock = object(), object()

    def __getattr__(self, name: str) -> Any:
        return self

    def __call__(self, *_: Any) -> Any:
        return self


def test_a_clock_that_is_ahead_makes_no_correction_too_late() -> None:
    stores: Any = StubStores()
    assert remeasuring(stores).clock is stores.decision_clock
