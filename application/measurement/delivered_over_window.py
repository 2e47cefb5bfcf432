"""The part of a facility's delivery in that of its DR event; pure."""

from domain.dispatch import DispatchState
from domain.dr_event import DREventState


def delivered_over_window(dr_event: DREventState, dispatch: DispatchState, delivered_kw: float) -> float:
    """Mean kW over the DR event's window: a facility that left early delivered for a part of it only."""
    notice = dr_event.judged_notice
    ends_at = min(notice.ends_at, dr_event.released_at or notice.ends_at)
    whole_s = (ends_at - notice.starts_at).total_seconds()
    own_s = (min(dispatch.ends_at, ends_at) - dispatch.starts_at).total_seconds()
    share = 1.0 if whole_s <= 0 else max(0.0, min(1.0, own_s / whole_s))
    return delivered_kw * share
