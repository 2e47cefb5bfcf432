"""Invariants of the callbacks: what the utility received, compared with the log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from uuid import UUID

from domain.dr_event import DREvent, DREventState
from tests.simulation.evidence import Evidence, Finding


def callbacks_match_log(evidence: Evidence) -> Iterator[Finding]:
    """Each requested callback arrived or is recorded as undeliverable, and the newest one has the log's final state."""
    received = {callback.callback_id: callback.body for callback in evidence.received}
    for state in evidence.dr_events():
        requested = [
            callback
            for callback in evidence.recorded(DREvent.CallbackRequested)
            if callback.originator_id == state.dr_event_id
        ]
        undeliverable = {key for key, status in state.callbacks.items() if status == "undeliverable"}
        for callback in requested:
            arrived = received.get(callback.callback_id) == callback.body
            if not arrived and str(callback.callback_id) not in undeliverable:
                yield Finding(
                    f"{state.utility_event_id}: the callback {callback.kind} did not arrive as recorded"
                )
        yield from _last_callback(state, requested, received)


def _last_callback(
    state: DREventState, requested: list[DREvent.CallbackRequested], received: dict[UUID, str]
) -> Iterator[Finding]:
    arrived = [callback for callback in requested if callback.callback_id in received]
    if not arrived:
        if {state.callbacks[str(callback.callback_id)] for callback in requested} == {"undeliverable"}:
            return  # the utility refused every callback; each is a dead letter
        if requested or (state.notice is not None and state.notice.callback_url is not None):
            yield Finding(f"{state.utility_event_id}: the utility received no callback")
        return
    if state.withdrawn_number is not None:
        return  # the utility cancelled it before it was accepted: no callback for that
    last_callback = json.loads(received[arrived[-1].callback_id])
    reported = (last_callback["status"], last_callback["outcome"])
    if arrived[-1] is requested[-1] and reported != (state.status, state.outcome):
        yield Finding(
            f"{state.utility_event_id}: the last callback says {reported[0]}/{reported[1]}, "
            f"the log says {state.status}/{state.outcome}"
        )
