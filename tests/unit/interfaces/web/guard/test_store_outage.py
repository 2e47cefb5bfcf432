"""While PostgreSQL is unreachable, requests that need it are refused at once, and others are answered."""

import time
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

import pytest
from litestar.testing import TestClient

from application.ports.access.api_keys import StoredApiKey
from application.ports.live_feed import SERVING, LiveUpdate, ReadModelState
from interfaces.web.broadcast.freshness import AWAY_FOR_S, BEHIND_S, MAX_RANGES, LiveState
from projections.facility import key_of
from tests.unit.interfaces.web.api.test_reads import facility
from tests.unit.interfaces.web.edge import (
    NOW,
    WEBHOOK,
    Edge,
    SettableClock,
    accepting,
    notification,
    problem_of,
)


def away(edge: Edge, client: TestClient[Any]) -> None:
    """Stops the database and waits until the live feed has noticed it."""
    edge.live_log.is_down = True
    live = client.app.state["web"].live
    while not live.state.is_away:
        client.get("/health")


def test_a_post_is_refused_without_giving_its_command_while_the_store_is_unreachable() -> None:
    edge = Edge()
    edge.commands.answer = accepting
    key = edge.key("utility", utility="util-1")
    with edge.client() as client:
        assert client.post(WEBHOOK, json=notification(), headers=key).status_code == 202
        away(edge, client)
        refused = client.post(WEBHOOK, json=notification(notification_id="n-2"), headers=key)
    assert problem_of(refused)["type"] == "/problems/unavailable"
    assert int(refused.headers["retry-after"]) >= 1
    assert len(edge.commands.given) == 1


def test_an_uncached_key_is_not_looked_up_while_the_store_is_unreachable() -> None:
    edge = Edge()
    asked: list[str] = []
    among = edge.api_keys.among

    def counted(key_ids: Collection[str]) -> dict[str, StoredApiKey]:
        asked.extend(key_ids)
        return among(key_ids)

    edge.api_keys.among = counted  # type: ignore[method-assign]
    ranges, unknown = edge.key("operator"), edge.key("operator")
    with edge.client() as client:
        assert client.get("/api/session", headers=ranges).status_code == 200
        away(edge, client)
        assert client.get("/api/session", headers=ranges).status_code == 200
        assert problem_of(client.get("/api/session", headers=unknown))["status"] == 503
    assert len(asked) == 1


def test_operations_list_the_parts_that_are_unknown() -> None:
    edge = Edge()
    key = edge.key("operator")
    with edge.client() as client:
        assert client.get("/api/session", headers=key).status_code == 200
        away(edge, client)
        answer = client.get("/api/operations", headers=key)
    assert answer.status_code == 200
    told = answer.json()
    assert (told["open_alerts"], told["projections"], told["workers"]) == (None, None, None)
    assert set(told["unknown"]) >= {
        "open_alerts",
        "breakers",
        "projections",
        "dead_letters",
        "ledger",
        "workers",
    }


def test_the_unreachable_state_expires_if_the_feed_stops_checking() -> None:
    seconds = [0.0]
    state = LiveState(SettableClock(), monotonic=lambda: seconds[0])
    said = [state.is_away]
    state.away()
    for moment in (AWAY_FOR_S - 0.1, AWAY_FOR_S):
        seconds[0] = moment
        said.append(state.is_away)
    assert said == [False, True, False], "a feed that has stopped does not block requests"


def behind(position: int, *, since: datetime = NOW - timedelta(seconds=30), head: int = 9) -> LiveUpdate:
    """An update in which all read models are behind."""
    states = [ReadModelState(name=name, position=position, behind_since=since) for name in SERVING]
    return LiveUpdate(head=head, read_models=tuple(states))


def set_back() -> tuple[LiveState, SettableClock]:
    """The clock was set back by an hour. Before, all read models were 30 s behind; since then 20 s have passed."""
    seconds, clock = [0.0], SettableClock()
    state = LiveState(clock, monotonic=lambda: seconds[0])
    state.update(behind(position=3), state.now())
    assert (state.behind_s(*SERVING), state.silence_s()) == (30.0, 0.0)
    clock.moment, seconds[0] = NOW - timedelta(hours=1), 20.0
    return state, clock


def test_a_clock_set_back_does_not_reduce_the_lag_of_a_read_model() -> None:
    state, clock = set_back()
    state.away()
    assert (state.silence_s(), state.data(9).reason) == (20.0, "database")
    state.update(behind(position=3), state.now())
    assert (state.behind_s(*SERVING), state.data(9).reason) == (50.0, "projections")
    state.update(behind(position=4, since=NOW - timedelta(seconds=25)), state.now())
    assert state.behind_s(*SERVING) == 50.0, "it advanced but is still behind"
    state.update(behind(position=5, since=clock.moment - timedelta(seconds=7)), state.now())
    assert state.behind_s(*SERVING) == 50.0, (
        "a time that may be from before the clock was set back is ignored"
    )


def test_the_lag_follows_the_clock_again_past_the_entries_from_before_it_was_set_back() -> None:
    state, clock = set_back()
    state.update(behind(position=4), state.now())
    state.update(behind(position=9, since=clock.moment - timedelta(seconds=7), head=12), state.now())
    assert state.behind_s(*SERVING) == 7.0
    state.update(
        LiveUpdate(head=12, read_models=tuple(ReadModelState(name=n, position=12) for n in SERVING)),
        state.now(),
    )
    assert (state.behind_s(*SERVING), state.data(12).stale) == (0.0, False)


def test_the_lag_of_a_moving_read_model_is_the_age_of_its_next_entry() -> None:
    seconds, clock = [0.0], SettableClock()
    state = LiveState(clock, monotonic=lambda: seconds[0])
    state.update(behind(position=3), state.now())
    clock.moment, seconds[0] = NOW + timedelta(seconds=20), 20.0
    state.update(behind(position=4, since=NOW + timedelta(seconds=10)), state.now())
    assert state.behind_s(*SERVING) == 10.0


@pytest.mark.parametrize(("ahead_s", "late_s"), [(3.0, 0.02), (5.0, 2.0)])
def test_entries_recorded_with_a_clock_that_is_ahead_make_nothing_stale(
    ahead_s: float, late_s: float
) -> None:
    """Ten domain events a second are recorded and folded `late_s` later. The feed checks once a second."""
    seconds, clock = [0.0], SettableClock()
    state = LiveState(clock, monotonic=lambda: seconds[0])
    for moment in range(1, 200):
        clock.moment, seconds[0] = NOW + timedelta(seconds=moment), float(moment)
        head, position = moment * 10, int((moment - late_s) * 10)
        since = NOW + timedelta(seconds=(position + 1) / 10 + ahead_s)
        state.update(behind(position, since=since, head=head), state.now())
        assert (state.behind_s(*SERVING), state.data(head).stale) == (0.0, False), moment


def test_a_stopped_read_model_is_stale_even_if_its_next_entry_is_from_the_future() -> None:
    seconds, clock = [0.0], SettableClock()
    state = LiveState(clock, monotonic=lambda: seconds[0])
    for moment in range(21):
        clock.moment, seconds[0] = NOW + timedelta(seconds=moment), float(moment)
        state.update(behind(3, since=NOW + timedelta(hours=1), head=9 + moment), state.now())
    assert state.behind_s(*SERVING) == 20.0


def test_the_lag_of_a_slow_read_model_is_measured_from_when_its_next_entry_was_first_seen() -> None:
    """A hundred positions a second are recorded, by a clock that is an hour ahead, and ten a second are folded."""
    seconds, clock = [0.0], SettableClock()
    state = LiveState(clock, monotonic=lambda: seconds[0])
    for moment in range(1, 300):
        clock.moment, seconds[0] = NOW + timedelta(seconds=moment), float(moment)
        recorded_s = (moment * 10 + 1) / 100
        since = NOW + timedelta(hours=1, seconds=recorded_s)
        state.update(behind(moment * 10, since=since, head=moment * 100), state.now())
        late_s = moment - recorded_s
        told_s = state.behind_s(*SERVING)
        assert (told_s > 0.0) == (int(late_s) > BEHIND_S), moment
        assert told_s == 0.0 or int(late_s) <= told_s, "the lag is not underestimated"
    assert len(state._read_models["portfolio"].ranges) <= MAX_RANGES


def test_the_age_of_an_update_is_measured_from_its_request() -> None:
    seconds = [0.0]
    state = LiveState(SettableClock(), monotonic=lambda: seconds[0])
    asked, seconds[0] = state.now(), 2.5
    state.update(behind(position=3), asked)
    assert state.silence_s() == 2.5


def test_reads_of_the_replica_are_labelled_with_their_age_and_other_requests_give_503() -> None:
    edge = Edge()
    edge.add_replica(lag_s=60.5).there.facilities.rows = {key_of("fac-001"): facility("fac-001")}
    key = edge.key("operator")
    with edge.client() as client:
        assert client.get("/api/session", headers=key).status_code == 200
        away(edge, client)
        edge.clock.moment = NOW.replace(minute=1)
        answer = client.get("/api/facilities", headers=key)
        past, other = (client.get(f"/api/dr-events?{name}=1", headers=key) for name in ("as_of", "as%5Fof"))
        posted = client.post("/api/facilities", json={}, headers=key)
    assert [item["facility_id"] for item in answer.json()["items"]] == ["fac-001"]
    assert (answer.json()["source"], answer.headers["x-stale"]) == ("replica", "true")
    assert answer.json()["age_s"] >= 60.5
    assert int(answer.headers["age"]) >= 60
    assert "x-read-models" not in answer.headers
    assert [answer.status_code for answer in (past, other, posted)] == [503, 503, 503]


@pytest.mark.parametrize(("known_s", "silence_s"), [(0.0, 60), (0.5, 60), (300.0, 60), (0.0, 0)])
def test_the_age_of_a_replica_read_is_at_least_its_lag_and_the_length_of_the_outage(
    known_s: float, silence_s: int
) -> None:
    """A replica shows no lag while its primary hangs, and the lag of the last check may be outdated."""
    edge = Edge()
    edge.add_replica(lag_s=known_s)
    key = edge.key("operator")
    with edge.client() as client:
        assert client.get("/api/session", headers=key).status_code == 200
        away(edge, client)
        edge.clock.moment = NOW + timedelta(seconds=silence_s)
        answer = client.get("/api/facilities", headers=key)
    assert (answer.json()["source"], answer.headers["x-stale"]) == ("replica", "true")
    assert answer.json()["age_s"] >= max(known_s, silence_s)


def test_a_replica_of_unknown_state_is_checked_while_the_primary_is_unreachable() -> None:
    edge = Edge()
    replica = edge.add_replica(answers=False)
    key = edge.key("operator")
    with edge.client() as client:
        assert client.get("/api/session", headers=key).status_code == 200
        away(edge, client)
        assert client.get("/api/facilities", headers=key).status_code == 503
        seen = replica.looks
        while replica.looks == seen:
            client.get("/health")
        replica.answers = True
        while replica.age_s() is None:
            client.get("/health")
        assert client.get("/api/facilities", headers=key).json()["source"] == "replica"


def test_a_request_uses_the_store_state_of_the_moment_it_was_admitted() -> None:
    """A read of the replica is labelled, even if the primary returns during the request."""
    edge = Edge()
    replica = edge.add_replica()
    key = edge.key("operator")
    with edge.client() as client:
        assert client.get("/api/session", headers=key).status_code == 200
        away(edge, client)
        listed = replica.there.facilities.listed

        def back_meanwhile(**asked: Any) -> Any:
            edge.live_log.is_down = False
            state = client.app.state["web"].live.state
            while state.is_away:
                time.sleep(0.001)
            return listed(**asked)

        replica.there.facilities.listed = back_meanwhile
        answer = client.get("/api/facilities", headers=key)
        assert "stale" not in client.get("/api/facilities?limit=7", headers=key).json()
    assert (answer.json()["source"], answer.headers["x-stale"]) == ("replica", "true")
    assert "x-read-models" not in answer.headers
