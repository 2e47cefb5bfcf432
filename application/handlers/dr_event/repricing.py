"""The kind and the prices in a modification. They alone may change without another plan; prices also after the window,
as long as the DR event can be settled again."""

from typing import NamedTuple

from application.command_bus.decision_context import DecisionContext
from application.commands.dr_event import ModifyDREvent
from application.handlers.dr_event.settlement_check import rule_in_force
from domain.dr_event import ENDED, RUNNING, DREvent, EventPrice, Notice, Reason
from domain.dr_event.window import requests_the_same, with_effective_start
from domain.settlement.inputs import EndedEvent
from domain.settlement.resettlement import DeadlinePassed, check_deadline


class KindAndPrices(NamedTuple):
    """The kind and the prices that a modification brings into force."""

    kind: str
    prices: tuple[EventPrice, ...]


def stated_by(command: ModifyDREvent, dr_event: DREvent) -> KindAndPrices:
    """The values that a modification states; one that it leaves out stays as it is."""
    state = dr_event.state
    return KindAndPrices(
        state.kind if command.kind is None else command.kind,
        state.prices if command.prices is None else command.prices,
    )


def repriced_notice(dr_event: DREvent, command: ModifyDREvent) -> Notice | None:
    """The notice with its window in force, if kind or prices change and at most the callback address besides; else
    None. After the window only prices may change."""
    state, in_force = dr_event.state, dr_event.state.notice
    stated = stated_by(command, dr_event)
    if state.status in ENDED:
        may_change = command.prices is not None and stated.kind == state.kind
    else:
        may_change = state.status in RUNNING and stated != (state.kind, state.prices)
    if in_force is None or not may_change:
        return None
    if command.notice.notified_starts_at != in_force.notified_starts_at:
        return None
    notice = with_effective_start(command.notice, in_force, state.start_offset_s)
    return notice if requests_the_same(notice, in_force) else None


def over_reason(dr_event: DREvent, repriced: Notice | None, context: DecisionContext) -> Reason | None:
    """Why nothing of a DR event whose window is over can change; None if the prices of `repriced` can."""
    state = dr_event.state
    if state.status not in ENDED:
        return Reason(code="not_allowed_now", detail=f"it is {state.status}; nothing can be changed any more")
    if repriced is None:
        detail = (
            f"it is {state.status}; only `prices` can still change, and all else is sent as it is in force"
        )
        return Reason(code="not_allowed_now", detail=detail)
    in_force = state.judged_notice
    rule = rule_in_force(in_force.program_id, context)
    ended = EndedEvent(
        dr_event_id=str(dr_event.id),
        program_id=in_force.program_id,
        starts_at=in_force.starts_at,
        ends_at=in_force.ends_at,
    )
    try:
        if rule is not None:
            check_deadline(rule, ended, context.now)
    except DeadlinePassed as error:
        return Reason(code="settlement_final", detail=str(error))
    return None
