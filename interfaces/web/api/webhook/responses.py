"""Responses to notifications, modifications and cancellations of utilities."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec
from litestar import Response

from application.commands.dr_event import Cancellation, Judgement, Modification
from domain.dr_event import Reason
from interfaces.web.problems import Problem, ProblemReason

ModificationStatus = Literal["modified", "stale", "repeated"]
CancellationOutcome = Literal["cancelled", "already_cancelled", "stale"]


class NotificationAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to an accepted notification; the same bytes for every repeat."""

    dr_event_id: UUID
    event_id: str
    status: str
    status_url: str
    capacity_kw: float
    capacity_source: str
    capacity_degraded_kw: float
    """The part of `capacity_kw` that is based on degraded forecasts, and therefore uncertain."""
    shortfall_kw: float
    blocked_facilities: int | None = None
    """Facilities that do not serve unless a better forecast or an operator unblocks them, as judged now; null for an
    event that was accepted before they were counted."""
    at_risk_facilities: int | None = None
    """Others with a degraded forecast, or with none where forecasts reach."""
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    """The window in force."""


class ModificationAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a modification; `stale` and `repeated` changed nothing.

    `modification_number` is the one in force.
    """

    dr_event_id: UUID
    event_id: str
    status: ModificationStatus
    dr_event_status: str
    modification_number: int
    status_url: str
    capacity_kw: float
    capacity_source: str
    capacity_degraded_kw: float
    shortfall_kw: float
    blocked_facilities: int | None = None
    at_risk_facilities: int | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None


class CancellationAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """`status` is that of the DR event now."""

    dr_event_id: UUID
    event_id: str
    status: str
    outcome: CancellationOutcome


def answer_of(event_id: str, judgement: Judgement) -> Response[bytes]:
    """202 for an accepted notification, 200 if it changed nothing. Raises the problem `infeasible`."""
    if judgement.status == "rejected":
        raise infeasible(judgement.dr_event_id, judgement.reasons, judgement.reason_counts)
    status_url = status_url_of(judgement.dr_event_id)
    answer = NotificationAnswer(
        dr_event_id=judgement.dr_event_id,
        event_id=event_id,
        status=judgement.status,
        status_url=status_url,
        capacity_kw=float(judgement.capacity_kw),
        capacity_source=judgement.capacity_source,
        capacity_degraded_kw=float(judgement.capacity_degraded_kw),
        shortfall_kw=float(judgement.shortfall_kw),
        blocked_facilities=judgement.blocked_facilities,
        at_risk_facilities=judgement.at_risk_facilities,
        starts_at=judgement.starts_at,
        ends_at=judgement.ends_at,
    )
    return json_response(
        msgspec.json.encode(answer), status_url, 202 if judgement.status == "accepted" else 200
    )


def modification_answer_of(event_id: str, modification: Modification) -> Response[bytes]:
    """202 for a modified DR event, 200 if nothing changed. Raises `infeasible` or `not-allowed-now`."""
    if modification.status == "refused":
        raise infeasible(modification.dr_event_id, modification.reasons, modification.reason_counts)
    if modification.status == "ended":
        raise ended(
            modification.dr_event_id, modification.dr_event_status, "be modified", modification.reasons
        )
    status_url = status_url_of(modification.dr_event_id)
    answer = ModificationAnswer(
        dr_event_id=modification.dr_event_id,
        event_id=event_id,
        status=modification.status,
        dr_event_status=modification.dr_event_status,
        modification_number=modification.modification_number,
        status_url=status_url,
        capacity_kw=float(modification.capacity_kw),
        capacity_source=modification.capacity_source,
        capacity_degraded_kw=float(modification.capacity_degraded_kw),
        shortfall_kw=float(modification.shortfall_kw),
        blocked_facilities=modification.blocked_facilities,
        at_risk_facilities=modification.at_risk_facilities,
        starts_at=modification.starts_at,
        ends_at=modification.ends_at,
    )
    return json_response(
        msgspec.json.encode(answer), status_url, 202 if modification.status == "modified" else 200
    )


def cancellation_answer_of(event_id: str, cancellation: Cancellation) -> CancellationAnswer:
    """Raises `not-allowed-now` if the DR event is over."""
    if cancellation.outcome == "ended":
        raise ended(cancellation.dr_event_id, cancellation.status, "be cancelled")
    return CancellationAnswer(
        dr_event_id=cancellation.dr_event_id,
        event_id=event_id,
        status=cancellation.status,
        outcome=cancellation.outcome,
    )


def ended(dr_event_id: UUID, status: str, doing: str, reasons: Iterable[Reason] = ()) -> Problem:
    return Problem(
        "not-allowed-now",
        f"DR event {dr_event_id} is {status} and cannot {doing} any more",
        tuple(ProblemReason(code=reason.code, detail=reason.detail) for reason in reasons),
    )


def infeasible(dr_event_id: UUID, refusals: Iterable[Reason], counts: Mapping[str, int]) -> Problem:
    """With the reasons, and the facility that each concerns. `counts`: of a refusal with more of them, by code."""
    reasons = tuple(
        ProblemReason(code=reason.code, detail=reason.detail, facility_id=reason.facility_id)
        for reason in refusals
    )
    codes = ", ".join(dict.fromkeys(reason.code for reason in reasons))
    if counts:
        codes += f" ({len(reasons)} of {sum(counts.values())} reasons are listed)"
    return Problem(
        "infeasible",
        f"refused: {codes}",
        reasons,
        dr_event_id=str(dr_event_id),
        reason_counts=dict(counts) or None,
    )


def json_response(answer: bytes, status_url: str, status_code: int) -> Response[bytes]:
    return Response(
        answer, status_code=status_code, media_type="application/json", headers={"Location": status_url}
    )


def status_url_of(dr_event_id: UUID) -> str:
    return f"/api/dr-events/{dr_event_id}"
