"""The floor of ingest: the broker and the same meters with a subscriber that does nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import msgspec

from tests.bench.capacity.process_use import cpu_s
from tests.bench.environment import BenchEnvironment
from tests.bench.figures import percentile
from tests.bench.ingest.load import Shape, bare_subscriber, sent
from tests.bench.ingest.setup import Broker

Details = dict[str, float | str]
NewBroker = Callable[[], AbstractContextManager[Broker]]


class Bare(msgspec.Struct, frozen=True):
    """The floor of a shape."""

    cpu_us: float
    p99_ms: float
    details: Details


def floors_of(
    env: BenchEnvironment, new_broker: NewBroker, shapes: list[Shape], seconds: float
) -> list[Bare]:
    """Measure the floor of each shape."""
    floors = []
    with new_broker() as broker, bare_subscriber(broker.mqtt_url) as subscriber:
        for shape in shapes:
            env.report(f"ingest: {shape.name}, the broker alone")
            before = cpu_s(broker.pid), subscriber.answer(0).cpu_s
            report = sent(shape, broker.meters_mqtt_url, seconds).report
            bare = subscriber.answer(report.messages)
            spent = cpu_s(broker.pid) - before[0], bare.cpu_s - before[1]
            floors.append(
                Bare(
                    cpu_us=us(sum(spent), report.readings),
                    p99_ms=percentile(bare.latencies_s, 99) * 1000,
                    details={
                        "broker": broker.name,
                        "floor": "the broker alone with the same meters and a subscriber that does nothing",
                        "floor: broker us": us(spent[0], report.readings),
                        "floor: subscriber us": us(spent[1], report.readings),
                        "floor: readings/s": report.readings_per_s,
                        "floor: p50_ms": round(percentile(bare.latencies_s, 50) * 1000, 1),
                    },
                )
            )
    return floors


def us(seconds: float, readings: int) -> float:
    """Microseconds per reading."""
    return round(seconds / readings * 1e6, 2)
