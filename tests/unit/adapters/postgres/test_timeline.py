"""The rule by which a server of PostgreSQL is refused (ADR 0102)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.postgres.connection.timeline import (
    OlderTimeline,
    ServerState,
    Timeline,
    TimelineFence,
    UnknownCluster,
    refusal,
)

A, B = 71, 72
TIMELINES = st.integers(1, 5)


def primary(timeline: int, recorded: int | None = None, cluster: int = A) -> ServerState:
    return ServerState(cluster, timeline, None if recorded is None else Timeline(cluster, recorded))


def standby(recorded: int | None) -> ServerState:
    return ServerState(A, None, None if recorded is None else Timeline(A, recorded))


@given(st.lists(TIMELINES, min_size=1))
def test_a_process_works_with_no_older_timeline_than_it_has_seen(timelines: list[int]) -> None:
    fence, highest = TimelineFence(), 0
    for timeline in timelines:
        if timeline >= highest:
            assert fence.admit(primary(timeline), "db") == Timeline(A, timeline)
            highest = timeline
        else:
            with pytest.raises(
                OlderTimeline, match=f"db is on timeline {timeline}, and timeline {highest} of"
            ):
                fence.admit(primary(timeline), "db")


@given(TIMELINES, TIMELINES)
def test_a_standby_is_as_new_as_what_it_has_replayed(recorded: int, known: int) -> None:
    assert (refusal(standby(recorded), known, "db") is None) == (recorded >= known)
    assert refusal(standby(None), known, "db") is None
    fence = TimelineFence()
    fence.admit(standby(recorded), "db")
    fence.admit(primary(1), "db")  # what a standby records is no evidence that its primary is gone


def test_an_older_timeline_than_the_recorded_one_is_refused_without_having_seen_it() -> None:
    assert refusal(primary(4, recorded=4), None, "db") is None
    assert refusal(primary(5, recorded=4), None, "db") is None
    assert isinstance(refusal(primary(3, recorded=4), None, "db"), OlderTimeline)


def test_timelines_of_two_clusters_are_not_compared() -> None:
    fence = TimelineFence()
    fence.admit(primary(9), "db")
    assert fence.admit(primary(1, cluster=B), "other") == Timeline(B, 1)


def test_a_log_of_another_cluster_waits_for_a_person_and_then_goes_on() -> None:
    fence, loaded = TimelineFence(), ServerState(B, 1, Timeline(A, 9))
    with pytest.raises(UnknownCluster, match=f"written by the cluster {A}.*--accept-cluster {B}"):
        fence.admit(loaded, "db")
    fence.admit(loaded._replace(recorded=Timeline(B, 1)), "db")


def test_a_server_that_is_only_looked_at_is_noted() -> None:
    fence = TimelineFence()
    assert fence.is_current(fence.admit(primary(1), "old"))
    changes = fence.changes
    fence.see(primary(2))
    assert fence.changes > changes
    assert not fence.is_current(Timeline(A, 1))
    assert fence.is_current(Timeline(A, 2))
    assert fence.is_current(None)
