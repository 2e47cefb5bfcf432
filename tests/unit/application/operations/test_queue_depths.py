"""What waits between processes: rows of open work, with the age of the oldest intent, and telemetry."""

import asyncio
from datetime import timedelta
from uuid import uuid4

from application.operations.queue_depths import QueueDepths
from application.ports.operations.system_state import QueueDepth
from tests.fakes.clock import FakeClock
from tests.fakes.event_store.event_store import FakeEventStore
from tests.sample_values import requested_callback

TELEMETRY = QueueDepth(name="telemetry", waiting=3, bytes=900, most_bytes=1_000, oldest_s=None)


class Telemetry:
    async def depths(self) -> tuple[QueueDepth, ...]:
        return (TELEMETRY,)


def queue(name: str, *, waiting: int, oldest_s: float | None) -> QueueDepth:
    return QueueDepth(name=name, waiting=waiting, bytes=None, most_bytes=None, oldest_s=oldest_s)  # type: ignore[arg-type]


def test_rows_are_counted_with_the_age_of_the_oldest_intent() -> None:
    store, clock = FakeEventStore(), FakeClock()
    dr_event, intent = requested_callback("util-1")
    store.save([dr_event])
    store.save([requested_callback("util-2")[0]])
    store.open_work.add_checks(["fac-001"])
    clock.moment = intent.recorded_at + timedelta(seconds=90)

    depths = asyncio.run(QueueDepths(store.open_work, store, clock, Telemetry()).depths())

    assert depths == (
        queue("bms_commands", waiting=1, oldest_s=None),
        queue("callbacks", waiting=2, oldest_s=90.0),
        TELEMETRY,
    )


def test_an_intent_of_a_newer_release_has_no_age() -> None:
    store, clock = FakeEventStore(), FakeClock()
    store.append_unknown_topic(uuid4())
    store.open_work.add([("callback", "util-1", store.head())])

    [_, callbacks] = asyncio.run(QueueDepths(store.open_work, store, clock, None).depths())

    assert callbacks == queue("callbacks", waiting=1, oldest_s=None)
