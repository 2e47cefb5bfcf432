"""Domain events of a DR event's settlement in money, and their effect on its state. Used as `DREvent.<Name>`."""

from __future__ import annotations

from typing import ClassVar

from msgspec.structs import replace

from domain.dr_event.event_base import Event
from domain.dr_event.state import DREventState, SettlementFigures, SettlementRevision


class Settled(Event, frozen=True, kw_only=True):
    """The first settlement, revision 0: an amount of money, or why there is none."""

    TOPIC: ClassVar[str] = "dr-event.settled.v1"
    figures: SettlementFigures
    why: str
    """Why it was settled now."""

    def evolve(self, state: DREventState) -> DREventState:
        revision = SettlementRevision(revision=0, figures=self.figures, settled_at=self.recorded_at)
        return replace(state, settlement=revision, settlement_status=self.figures.status)


class Resettled(Event, frozen=True, kw_only=True):
    """A new revision of the settlement beside the earlier ones, which stay in force for their time."""

    TOPIC: ClassVar[str] = "dr-event.resettled.v1"
    revision: int
    figures: SettlementFigures
    why: str
    previous_total: str | None
    difference: str
    """To the revision before, in the currency; a total of None counts 0."""

    def evolve(self, state: DREventState) -> DREventState:
        is_settled = self.figures.status == "settled"
        return replace(
            state,
            settlement=SettlementRevision(
                revision=self.revision, figures=self.figures, settled_at=self.recorded_at
            ),
            settlement_status="resettled" if is_settled else "not_settled",
        )
