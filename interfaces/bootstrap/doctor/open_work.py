"""The check of open work for `gridproof doctor`: commands that no row of open work will carry out any more."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, get_args

from domain.dispatch import FINAL, Dispatch, DispatchState, DispatchStatus
from domain.identifiers import dispatch_id
from interfaces.bootstrap.doctor.result import CheckResult, named_first
from projections.queries.views import all_rows

if TYPE_CHECKING:
    from uuid import UUID

    from interfaces.bootstrap.stores import Stores

NAME = "open work"
LOADED_AT_ONCE = 500


def check_open_work(stores: Stores) -> CheckResult:
    """How many rows wait. `wrong` where a command has neither an outcome nor a row of its building."""
    view = stores.read_models().dispatches
    unfinished = sorted(set(get_args(DispatchStatus)) - FINAL)
    under_way = [row.dispatch_id for status in unfinished for row in all_rows(view, status=status)]
    open_before = list(_with_open_command(stores, under_way))
    depths = stores.open_work().depths()
    waiting = {depth.queue for depth in depths if depth.kind == "bms"}
    lost = [state for state in open_before if state.facility_id not in waiting]
    # Its work may have come to an end before the rows were counted.
    lost = list(
        _with_open_command(stores, [dispatch_id(state.dr_event_id, state.facility_id) for state in lost])
    )
    rows = {kind: sum(depth.rows for depth in depths if depth.kind == kind) for kind in ("bms", "callback")}
    named = [f"{state.facility_id} in {state.dr_event_id}" for state in lost]
    facts = {**rows, "lost": named}
    if not named:
        detail = f"{rows['bms']} rows of buildings, {rows['callback']} callbacks"
        return CheckResult(check=NAME, state="ok", detail=detail, facts=facts)
    return CheckResult(
        check=NAME,
        state="wrong",
        detail=f"{len(named)} buildings have a command without an outcome and without a row: {named_first(named)}",
        advice="rows were deleted: have each building restored on site, then `gridproof dr-events restored`",
        facts=facts,
    )


def _with_open_command(stores: Stores, dispatch_ids: Iterable[UUID]) -> Iterable[DispatchState]:
    ids = iter(dispatch_ids)
    while some := list(islice(ids, LOADED_AT_ONCE)):
        for dispatch in stores.events.load_many(Dispatch, some).values():
            if dispatch.state.has_open_command:
                yield dispatch.state
