"""The base of the mixins of `Dispatch`: they use its state and `record`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from domain.dispatch.decisions import PendingEvent
from domain.dispatch.state import DispatchState
from domain.event_sourcing.aggregate import Provenance

if TYPE_CHECKING:
    from domain.event_sourcing.aggregate import Aggregate

    _DispatchBase = Aggregate[DispatchState]
else:
    _DispatchBase = object  # The library treats every subclass of its aggregate class as an aggregate.


class DispatchMixin(_DispatchBase):
    """The base of the mixins of `Dispatch`."""

    def _record_all(self, provenance: Provenance, pending: Iterable[PendingEvent]) -> None:
        """Record the pending events; all of them are decided on the state before the first is recorded."""
        for kind, fields in list(pending):
            self.record(kind, provenance, **fields)
