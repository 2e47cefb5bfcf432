"""The roles of the demo's facilities: which of them misbehave, and how."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from interfaces.simulators.bms.faults import FaultOrder

MIN_FACILITIES = 5
LATE_RESPONSE_S = 18.0
"""Clock seconds. Less than the 30 s that a call may take."""


class FacilityRoles(msgspec.Struct, frozen=True, kw_only=True):
    """The facilities of a demo, and those with a role."""

    facility_ids: tuple[str, ...]
    in_maintenance: str
    times_out: str
    refuses: str
    responds_late: str
    loses_response: str
    """Its response is lost after it did the work, and its BMS does not deduplicate."""

    @property
    def requested(self) -> tuple[str, ...]:
        """All facilities but the one in maintenance."""
        return tuple(i for i in self.facility_ids if i != self.in_maintenance)

    @property
    def single_phase(self) -> tuple[str, ...]:
        """Facilities whose BMS has no prepare: the late one, and every fourth of those without a role."""
        with_role = {
            self.in_maintenance,
            self.times_out,
            self.refuses,
            self.responds_late,
            self.loses_response,
        }
        return (self.responds_late, *[i for i in self.facility_ids if i not in with_role][::4])

    @property
    def expected_failures(self) -> frozenset[str]:
        return frozenset({self.times_out, self.refuses})

    def faults(self) -> tuple[FaultOrder, ...]:
        """The faults of the simulated BMSs."""
        return (
            FaultOrder(facility_id=self.times_out, kind="time_out"),
            FaultOrder(facility_id=self.refuses, kind="refuse", phase="commit"),
            FaultOrder(facility_id=self.responds_late, kind="slow", phase="commit", delay_s=LATE_RESPONSE_S),
            FaultOrder(facility_id=self.loses_response, kind="lost_answer_once", phase="commit"),
        )


def assign_roles(facility_ids: Sequence[str]) -> FacilityRoles:
    """Spread the roles over the facilities. Raises ValueError for fewer than five."""
    if len(facility_ids) < MIN_FACILITIES:
        raise ValueError(f"the demo needs at least {MIN_FACILITIES} facilities, got {len(facility_ids)}")
    count = len(facility_ids)
    places = [0, count // 4, count // 2, (3 * count) // 4, count - 1]
    times_out, refuses, responds_late, loses_response, in_maintenance = (facility_ids[i] for i in places)
    return FacilityRoles(
        facility_ids=tuple(facility_ids),
        in_maintenance=in_maintenance,
        times_out=times_out,
        refuses=refuses,
        responds_late=responds_late,
        loses_response=loses_response,
    )
