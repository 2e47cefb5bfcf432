"""Who plays what in the demo: the facilities, and which of them misbehave."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from interfaces.simulators.bms.faults import FaultOrder

LEAST_FACILITIES = 5
LATE_ANSWER_S = 18.0
"""Clock seconds: late, but inside the 30 s that a call may take."""


class Cast(msgspec.Struct, frozen=True, kw_only=True):
    """The facilities of a demo by their part."""

    facility_ids: tuple[str, ...]
    in_maintenance: str
    times_out: str
    refuses: str
    answers_late: str
    loses_answer: str
    """Its answer is lost after it did the work, and its BMS does not deduplicate."""

    @property
    def asked(self) -> tuple[str, ...]:
        """All but the one in maintenance."""
        return tuple(i for i in self.facility_ids if i != self.in_maintenance)

    @property
    def single_phase(self) -> tuple[str, ...]:
        """Those whose BMS knows no prepare: the one that answers late, and every fourth of those without a part."""
        parts = {self.in_maintenance, self.times_out, self.refuses, self.answers_late, self.loses_answer}
        return (self.answers_late, *[i for i in self.facility_ids if i not in parts][::4])

    @property
    def expected_failures(self) -> frozenset[str]:
        return frozenset({self.times_out, self.refuses})

    def faults(self) -> tuple[FaultOrder, ...]:
        """What is ordered of the simulated BMSs."""
        return (
            FaultOrder(facility_id=self.times_out, kind="time_out"),
            FaultOrder(facility_id=self.refuses, kind="refuse", phase="commit"),
            FaultOrder(facility_id=self.answers_late, kind="slow", phase="commit", delay_s=LATE_ANSWER_S),
            FaultOrder(facility_id=self.loses_answer, kind="lost_answer_once", phase="commit"),
        )


def cast_of(facility_ids: Sequence[str]) -> Cast:
    """Spread the parts over the facilities. Raises ValueError for fewer than five."""
    if len(facility_ids) < LEAST_FACILITIES:
        raise ValueError(f"the demo needs at least {LEAST_FACILITIES} facilities, got {len(facility_ids)}")
    count = len(facility_ids)
    places = [0, count // 4, count // 2, (3 * count) // 4, count - 1]
    times_out, refuses, answers_late, loses_answer, in_maintenance = (facility_ids[i] for i in places)
    return Cast(
        facility_ids=tuple(facility_ids),
        in_maintenance=in_maintenance,
        times_out=times_out,
        refuses=refuses,
        answers_late=answers_late,
        loses_answer=loses_answer,
    )
