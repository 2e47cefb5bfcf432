"""What the utility knows, beside what the log says it was to be told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from uuid import UUID

from domain.dr_event import DREvent, DREventState
from tests.simulation.evidence import Evidence, Found


def utility_knows(evidence: Evidence) -> Iterator[Found]:
    """Everything it was to be told arrived or is recorded as undeliverable, and the newest is the log's last word."""
    received = {callback.callback_id: callback.body for callback in evidence.received}
    for state in evidence.dr_events():
        asked = [
            fact
            for fact in evidence.recorded(DREvent.CallbackRequested)
            if fact.originator_id == state.dr_event_id
        ]
        undeliverable = {key for key, status in state.callbacks.items() if status == "undeliverable"}
        for fact in asked:
            if received.get(fact.callback_id) != fact.body and str(fact.callback_id) not in undeliverable:
                yield Found(f"{state.utility_event_id}: the callback {fact.kind} did not arrive as recorded")
        yield from _last_word(state, asked, received)


def _last_word(
    state: DREventState, asked: list[DREvent.CallbackRequested], received: dict[UUID, str]
) -> Iterator[Found]:
    arrived = [fact for fact in asked if fact.callback_id in received]
    if not arrived:
        if asked and all(state.callbacks[str(fact.callback_id)] == "undeliverable" for fact in asked):
            return  # it refused every word: a person knows of each
        if asked or (state.notice is not None and state.notice.callback_url is not None):
            yield Found(f"{state.utility_event_id}: the utility was told nothing")
        return
    if state.withdrawn_number is not None:
        return  # cancelled by the utility itself before it was accepted: nothing is told of that
    told = json.loads(received[arrived[-1].callback_id])
    if arrived[-1] is asked[-1] and (told["status"], told["outcome"]) != (state.status, state.outcome):
        yield Found(
            f"{state.utility_event_id}: the utility was last told {told['status']}/{told['outcome']}, "
            f"the log says {state.status}/{state.outcome}"
        )
