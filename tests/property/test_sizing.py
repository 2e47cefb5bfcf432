"""A larger load never needs less, and the connections of its processes always fit."""

from collections.abc import Iterator

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from application.operations.sizing.estimate import RESERVED_CONNECTIONS, Estimate
from application.operations.sizing.limits import limits_of
from application.operations.sizing.load import MOST_DR_EVENTS, MOST_FACILITIES, MOST_METERS, SystemLoad
from interfaces.bootstrap.connection_budget import budget_of_worker
from interfaces.bootstrap.offline import estimator
from interfaces.settings.settings import Settings
from tests.sizes import examples

SIZE = estimator(Settings())
LOADS = st.builds(
    SystemLoad,
    facilities=st.integers(1, MOST_FACILITIES),
    meters=st.integers(0, MOST_METERS),
    dr_events_per_year=st.integers(0, MOST_DR_EVENTS),
)
FIELDS = {"facilities": MOST_FACILITIES, "meters": MOST_METERS, "dr_events_per_year": MOST_DR_EVENTS}


def needs(found: Estimate) -> Iterator[tuple[str, float]]:
    for name, need in (*found.processes.items(), *found.servers.items()):
        yield f"{name} count", need.count
        yield f"{name} cores", need.cores
        yield f"{name} memory", need.memory_mib
        yield f"{name} connections", need.connections
    yield from found.disk.a_day.items()
    yield from ((f"held {name}", size) for name, size in found.disk.held.items())
    for stream in found.streams:
        yield f"{stream.name} limit", stream.limit_bytes
        yield f"{stream.name} messages", stream.messages_per_s
    yield "cores", found.cores
    yield "memory", found.memory_mib
    yield "budget", found.connections.budget
    yield "max_connections", found.connections.max_connections
    yield "partitions", found.partitions_used
    yield "backup", found.full_backup_bytes


@given(load=LOADS, field=st.sampled_from(sorted(FIELDS)), data=st.data())
@settings(max_examples=examples(300), deadline=None)
def test_a_larger_load_never_needs_less(load: SystemLoad, field: str, data: st.DataObject) -> None:
    more = data.draw(st.integers(getattr(load, field), FIELDS[field]))
    grown = SIZE(msgspec.structs.replace(load, **{field: more}))
    fewer = dict(needs(SIZE(load)))
    assert {name: value for name, value in needs(grown) if value < fewer[name]} == {}


@given(load=LOADS, field=st.sampled_from(sorted(FIELDS)), data=st.data())
@settings(max_examples=examples(30), deadline=None)
def test_a_larger_load_uses_no_less_of_any_limit(load: SystemLoad, field: str, data: st.DataObject) -> None:
    more = data.draw(st.integers(getattr(load, field), FIELDS[field]))
    shares = {limit.name: limit.share for limit in limits_of(load, SIZE)}
    grown = limits_of(msgspec.structs.replace(load, **{field: more}), SIZE)
    assert {limit.name for limit in grown if limit.share < shares[limit.name]} == set()


@given(load=LOADS)
@settings(max_examples=examples(300), deadline=None)
def test_the_connections_of_all_processes_fit_the_recommended_server(load: SystemLoad) -> None:
    found = SIZE(load)
    of_workers = sum(
        need.count * budget_of_worker(name, Settings()) for name, need in found.processes.items()
    )
    assert of_workers == sum(need.connections for need in found.processes.values())
    allowed = found.connections.max_connections - RESERVED_CONNECTIONS
    assert of_workers + budget_of_worker("cli", Settings()) == found.connections.budget <= allowed
