"""Who is told of which alert, when, and how often."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

import msgspec
import pytest

from application.operations.alert_decisions import decide_alert
from application.operations.alert_delivery import (
    BURST,
    FAILING_AFTER,
    FIRST_RETRY_S,
    MOST_NAMED,
    QUIET,
    AlertDelivery,
    Route,
    message_of,
)
from application.operations.alert_text import subject_of, text_of
from application.operations.alert_webhook import body_of
from tests.fakes.clock import FakeClock
from tests.fakes.operations.alert_delivery import FakeAlertChannel, FakeAlertDeliveries
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.open_alerts import begin_alert, end_alert

ESCALATE_AFTER_S = 900.0
ROUND_S = 10.0


@dataclass
class People:
    """Two channels at once, and one for escalations."""

    clock: FakeClock = field(default_factory=FakeClock)
    passed_s: float = 0.0

    def __post_init__(self) -> None:
        self.alerts = FakeAlertRegistry()
        self.deliveries = FakeAlertDeliveries(self.alerts)
        self.webhook, self.email = FakeAlertChannel("webhook"), FakeAlertChannel("email")
        self.second = FakeAlertChannel("escalation email")
        self.restart()

    def restart(self) -> None:
        routes = [
            Route(self.webhook, "critical"),
            Route(self.email, "critical"),
            Route(self.second, "critical", ESCALATE_AFTER_S),
        ]
        self.delivery = AlertDelivery(
            routes, self.alerts, self.deliveries, self.clock, monotonic=lambda: self.passed_s
        )

    def alert(self, name: str = "relay_stopped", subject: str = "relay") -> None:
        begin_alert(self.alerts, name, subject, "x", at=self.clock.now())

    def end(self, name: str = "relay_stopped", subject: str = "relay") -> None:
        end_alert(self.alerts, name, subject, at=self.clock.now())

    def after(self, seconds: float) -> None:
        """A round at that time from now."""
        self.clock.advance(seconds=seconds * self.clock.speed)
        self.passed_s += seconds
        asyncio.run(self.delivery.round())

    def rounds(self, seconds: float) -> None:
        for _ in range(int(seconds / ROUND_S)):
            self.after(ROUND_S)


@pytest.fixture
def people() -> People:
    return People()


def test_an_alert_is_delivered_once_on_each_channel_over_restarts_and_so_is_its_end(people: People) -> None:
    people.alert()
    people.after(0)
    people.restart()
    people.rounds(60)
    people.end()
    people.rounds(60)
    for channel in (people.webhook, people.email):
        assert channel.messages == [("raised", ["relay"]), ("ended", ["relay"])]
    assert people.second.messages == []


def test_the_end_of_an_alert_that_was_open_for_days_is_delivered(people: People) -> None:
    people.alert()
    people.after(0)
    people.after(3 * 86_400)
    people.end()
    people.rounds(60)
    assert people.webhook.messages == [("raised", ["relay"]), ("ended", ["relay"])]


def test_only_severe_alerts_are_delivered(people: People) -> None:
    people.alert("bms_drift", "fac-001")
    people.rounds(3_600)
    assert (people.webhook.tried, people.second.tried) == ([], [])


def test_an_alert_that_nobody_acknowledges_is_escalated_once(people: People) -> None:
    people.alert()
    people.rounds(ESCALATE_AFTER_S - ROUND_S)
    assert people.second.messages == []
    people.after(ROUND_S)
    people.rounds(1_800)
    assert people.second.messages == [("escalated", ["relay"])]
    people.end()
    people.after(ROUND_S)
    assert people.second.messages == [("escalated", ["relay"]), ("ended", ["relay"])]


def test_an_acknowledged_alert_is_not_escalated(people: People) -> None:
    people.alert()
    people.after(0)
    [alert] = people.alerts.listed()
    decide_alert(
        people.alerts,
        alert.alert_id,
        "acknowledged",
        by="operator:6a1f",
        reason="I look",
        at=people.clock.now(),
    )
    people.rounds(2 * ESCALATE_AFTER_S)
    assert people.second.tried == []
    assert people.webhook.messages == [("raised", ["relay"])]


def test_a_flapping_alert_is_delivered_once_in_a_quarter_of_an_hour(people: People) -> None:
    for _ in range(180):  # half an hour
        people.alert()
        people.after(ROUND_S / 2)
        people.end()
        people.after(ROUND_S / 2)
    raised = [kind for kind, _ in people.webhook.messages if kind == "raised"]
    assert len(raised) == 2 * 1_800 / 2 / QUIET.total_seconds()
    assert len(people.webhook.delivered) == 2 * len(raised), "each with its end"


def test_an_alert_that_stays_after_it_flapped_is_delivered_in_the_end(people: People) -> None:
    people.alert()
    people.after(0)
    people.end()
    people.after(ROUND_S)
    people.alert()
    people.rounds(QUIET.total_seconds() + ROUND_S)
    assert [kind for kind, _ in people.webhook.messages] == ["raised", "ended", "raised"]


def test_many_alerts_are_one_message(people: People) -> None:
    for number in range(10_000):
        people.alert("bms_breaker_open", f"fac-{number:05}")
    people.rounds(60)
    [message] = people.webhook.delivered
    assert (len(message.alerts), message.more) == (MOST_NAMED, 10_000 - MOST_NAMED)


def test_a_storm_of_new_alerts_sends_a_bounded_number_of_messages_and_loses_none(people: People) -> None:
    for number in range(360):  # an hour
        people.alert("bms_breaker_open", f"fac-{number:05}")
        people.after(ROUND_S)
    people.rounds(120)
    assert len(people.webhook.delivered) <= BURST.at_once + 62
    told = [subject for _, subjects in people.webhook.messages for subject in subjects]
    assert (len(told), len(set(told))) == (360, 360)


def test_a_channel_that_fails_is_tried_again_later_and_delays_no_other(people: People) -> None:
    people.email.fail("421 try again later")
    people.alert()
    people.after(0)
    assert people.webhook.messages == [("raised", ["relay"])]
    people.after(FIRST_RETRY_S - 1)
    assert len(people.email.tried) == 1
    people.after(1)
    assert len({message.message_id for message in people.email.tried}) == 1, "the same message"
    people.rounds(3_600)
    assert 6 <= len(people.email.tried) <= 20
    people.email.fail(None)
    people.alert(subject="another")
    people.after(900)
    assert "another" in [subject for _, subjects in people.email.messages for subject in subjects]


def test_a_channel_that_fails_again_and_again_is_an_alert_until_it_delivers(people: People) -> None:
    people.email.failure = RuntimeError("a defect")
    people.alert()
    for _ in range(FAILING_AFTER):
        people.after(900)
    open_alerts = {(alert.name, alert.subject) for alert in people.alerts.listed()}
    assert ("alert_undeliverable", "email") in open_alerts
    people.after(ROUND_S)
    assert ("raised", ["email"]) in people.webhook.messages
    people.email.fail(None)
    people.after(900)
    assert {(alert.name, alert.subject) for alert in people.alerts.listed()} == {("relay_stopped", "relay")}


def test_on_a_fast_clock_retries_keep_their_wall_time(people: People) -> None:
    people.clock.speed = 3_600.0
    people.email.fail("away")
    people.alert()
    people.after(0)
    people.after(FIRST_RETRY_S - 1)
    assert len(people.email.tried) == 1
    people.after(1)
    assert len(people.email.tried) == 2


def test_a_clock_that_was_a_day_ahead_holds_nothing_back(people: People) -> None:
    people.clock.advance(seconds=86_400)
    people.alert(subject="flapping")
    people.email.fail("away")
    people.after(0)
    people.end(subject="flapping")
    people.clock.advance(seconds=-86_400)
    people.alert()
    people.alert(subject="flapping")
    people.email.fail(None)
    people.after(ROUND_S)
    for channel in (people.webhook, people.email):
        assert ("raised", ["relay", "flapping"]) in channel.messages


def test_a_failed_message_is_tried_again_after_the_clock_was_ahead(people: People) -> None:
    people.alert()
    people.clock.advance(seconds=86_400)
    people.email.fail("away")
    people.after(0)
    people.clock.advance(seconds=-86_400)
    people.email.fail(None)
    people.after(FIRST_RETRY_S)
    assert people.email.messages == [("raised", ["relay"])]


def test_the_text_names_the_worst_first_on_one_printable_line(people: People) -> None:
    people.alert("bms_breaker_open", "fac\r\nBcc: all@example.org")
    people.alert("relay_stopped", "relay")
    message = message_of("raised", people.alerts.listed(), sent_at=people.clock.now())
    assert subject_of(message) == "[gridproof] page raised: relay_stopped: relay and 1 more"
    assert "\nBcc" not in text_of(message)
    assert "gridproof alerts acknowledge ID" in text_of(message)
    document = msgspec.json.decode(body_of(message))
    assert (document["format"], document["kind"]) == ("gridproof-alerts.v1", "raised")
    assert [alert["name"] for alert in document["alerts"]] == ["relay_stopped", "bms_breaker_open"]


def test_the_id_of_a_message_follows_from_its_alerts(people: People) -> None:
    people.alert()
    people.alert(subject="another")
    alerts, now = people.alerts.listed(), people.clock.now()
    again = message_of("raised", alerts[::-1], sent_at=now + timedelta(hours=1))
    assert message_of("raised", alerts, sent_at=now).message_id == again.message_id
    assert message_of("ended", alerts, sent_at=now).message_id != again.message_id
    assert message_of("raised", alerts[:1], sent_at=now).message_id != again.message_id


def test_two_systems_have_no_message_id_in_common(people: People) -> None:
    people.alert()
    other = People()
    other.clock.advance(seconds=1)
    other.alert()
    [alert], [of_other], now = people.alerts.listed(), other.alerts.listed(), people.clock.now()
    assert alert.alert_id == of_other.alert_id
    ids = {message_of("raised", [one], sent_at=now).message_id for one in (alert, of_other)}
    assert len(ids) == 2
