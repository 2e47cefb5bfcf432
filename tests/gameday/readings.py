"""Cases of meters and their readings."""

from __future__ import annotations

import asyncio
import contextlib
import json
from datetime import timedelta

from adapters.postgres.schema.worker_roles import TELEMETRY
from interfaces.simulators.meters.mqtt_outbox import MqttOutbox
from tests.gameday.drill import Drill
from tests.gameday.registry import case

METERED, ASKED = "fac-004", "fac-002"
MALFORMED = 5
SOON, LATER = timedelta(hours=3), timedelta(hours=3, minutes=40)
SENT_WITHIN_S = 120.0
TABLES = ("recent_readings", "reading_chunks")
REFUSES = {
    "recent_readings": f"NOT '{METERED}' = ANY (facility_ids)",
    "reading_chunks": f"facility_id <> '{METERED}'",
}


@case("send_malformed_messages", "malformed_readings", round=2)
def send_malformed_messages(drill: Drill) -> None:
    assert drill.world.mqtt_url is not None
    asyncio.run(_send_malformed(drill.world.mqtt_url))
    malformed = drill.fires("malformed_readings", METERED)
    drill.undo()
    drill.look_at("malformed_readings")
    for letter in drill.letters("meter_message", ""):
        drill.do("malformed_readings", "gridproof dead-letters discard ID --reason ...", ID=letter)
    drill.ends(malformed)


async def _send_malformed(mqtt_url: str) -> None:
    outbox = MqttOutbox(mqtt_url, "game-day", capacity=MALFORMED)
    delivering = asyncio.create_task(outbox.run())
    for number in range(MALFORMED):
        outbox.put(f"meters/{METERED}/main/readings", b"no reading %d" % number)
    async with asyncio.timeout(SENT_WITHIN_S):
        while outbox.unacknowledged:  # noqa: ASYNC110  # a counter, not a signal
            await asyncio.sleep(0.1)
    delivering.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await delivering


@case("disturb_telemetry_store", "telemetry_queries_slow", "telemetry_write_errors", round=2)
def disturb_telemetry_store(drill: Drill) -> None:
    slow = drill.fires("telemetry_queries_slow", "aggregate", meanwhile=lambda: _lock_for_a_moment(drill))
    drill.look_at("telemetry_queries_slow")
    for table in TABLES:
        drill.as_owner(f"REVOKE INSERT ON gridproof.{table} FROM {TELEMETRY}")
    try:
        failing = drill.fires("telemetry_write_errors", "aggregate")
        drill.look_at("telemetry_write_errors")
    finally:
        for table in TABLES:
            drill.as_owner(f"GRANT INSERT ON gridproof.{table} TO {TELEMETRY}")
    # A new process has made no call yet; otherwise those of five minutes count.
    drill.undo(lambda: drill.demo.kill("aggregate"))
    drill.ends(slow)
    drill.ends(failing)


def _lock_for_a_moment(drill: Drill) -> None:
    drill.as_owner("LOCK TABLE gridproof.unsettled_quarters IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(2)")


@case("silence_meter", "readings_missing")
def silence_meter(drill: Drill) -> None:
    """A meter that the portfolio lists has never sent anything."""
    portfolio = json.loads(drill.portfolio.read_text())
    listed = drill.demo.folder / "silent-meter.json"
    facility = next(one for one in portfolio["facilities"] if one["facility_id"] == METERED)
    facility["meters"].append({"meter_id": "silent"})
    listed.write_text(json.dumps(portfolio))
    drill.gridproof("facilities", "import", str(listed))
    dr_event_id = drill.request(METERED, ahead=SOON)
    missing = drill.fires("readings_missing", METERED)
    drill.look_at("readings_missing", F=METERED)
    drill.undo()
    drill.do("readings_missing", "gridproof facilities import FILE", FILE=str(drill.portfolio))
    drill.ends(missing)
    drill.cancel(dr_event_id)


@case("stop_weather", "degraded_forecast", "weather_unavailable", round=3)
def stop_weather(drill: Drill) -> None:
    """The process of the weather service, the meters and the buildings stands still."""
    dr_event_id = drill.request(ASKED, ahead=LATER)
    # Of the same round: without readings that wait, the meters' silence would hide that nothing stores them.
    drill.until(lambda: drill.is_open("telemetry_lag"), "readings wait for the stopped aggregate worker")
    with drill.frozen_world():
        drill.begin()
        degraded = drill.fires("degraded_forecast", ASKED)
        drill.look_at("degraded_forecast", ID=dr_event_id, F=ASKED)
        unavailable = drill.fires("weather_unavailable")
    drill.undo()
    drill.look_at("weather_unavailable")
    drill.ends(unavailable)
    drill.cancel(dr_event_id)  # the gap of the meters may keep its forecast degraded for a day
    drill.ends(degraded)


@case("send_unstorable_batch", "poison_batch", round=4)
def send_unstorable_batch(drill: Drill) -> None:
    for table in TABLES:
        drill.as_owner(
            f"ALTER TABLE gridproof.{table} ADD CONSTRAINT game_day CHECK ({REFUSES[table]}) NOT VALID"
        )
    try:
        poison = drill.fires("poison_batch", "partition")
    finally:
        for table in TABLES:
            drill.as_owner(f"ALTER TABLE gridproof.{table} DROP CONSTRAINT game_day")
    drill.undo()
    drill.look_at("poison_batch")

    def replay() -> None:
        for letter in drill.letters("telemetry_batch", poison.subject):
            drill.do("poison_batch", "gridproof dead-letters replay ID", ID=letter)

    drill.ends(poison, meanwhile=replay)
