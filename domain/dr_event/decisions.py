"""Functions that the decisions of a DR event share: pure functions of its state that yield the domain events to
record."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import TypeAlias

from domain.dr_event.state import DREventState, DREventStatus
from domain.errors import NotAllowedNow
from domain.event_sourcing.aggregate import Decision

DREventDecision: TypeAlias = Decision[DREventState, None]


def require(state: DREventState, allowed: AbstractSet[DREventStatus], doing: str) -> None:
    """Raises NotAllowedNow if the status is none of `allowed`."""
    if state.status not in allowed:
        raise NotAllowedNow(
            f"DR event {state.dr_event_id} is {state.status} and cannot {doing}; "
            f"allowed when {', '.join(sorted(allowed))}"
        )
