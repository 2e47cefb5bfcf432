"""Faults that can be injected into a simulated BMS."""

from typing import Literal

import msgspec

BmsOperation = Literal["prepare", "commit", "abort", "restore", "status", "state"]
FaultKind = Literal["time_out", "refuse", "slow", "lost_answer", "lost_answer_once", "invalid_answer"]


class FaultOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An injected fault of one building.

    `time_out`: does nothing and never answers. `refuse`: RefusedFault `local_override`. `slow`: does the work
    and answers after `delay_s`. `lost_answer`: does the work, then drops the connection (`lost_answer_once`:
    the first time only). `invalid_answer`: does the work, sends an answer that violates the contract.
    """

    facility_id: str
    kind: FaultKind
    phase: BmsOperation | None = None
    """None: every operation."""
    delay_s: float = 0.0
    """Clock seconds, for `slow`."""
    times: int | None = None
    """How often; None: always."""


class FaultBook:
    """The injected faults, with the remaining number of each."""

    def __init__(self, orders: tuple[FaultOrder, ...] = ()) -> None:
        self._open: list[tuple[FaultOrder, int | None]] = []
        for order in orders:
            self._open.append((order, _times(order)))

    def replace(self, facility_id: str, orders: tuple[FaultOrder, ...]) -> None:
        """Replace the building's faults by `orders`."""
        self._open = [(order, left) for order, left in self._open if order.facility_id != facility_id]
        self._open += [(order, _times(order)) for order in orders]

    def take(self, facility_id: str, operation: BmsOperation) -> FaultOrder | None:
        """The first fault that applies to this call; reduces its remaining number by one."""
        for index, (order, left) in enumerate(self._open):
            if order.facility_id == facility_id and order.phase in (None, operation) and left != 0:
                self._open[index] = (order, None if left is None else left - 1)
                return order
        return None


def _times(order: FaultOrder) -> int | None:
    return 1 if order.kind == "lost_answer_once" else order.times
