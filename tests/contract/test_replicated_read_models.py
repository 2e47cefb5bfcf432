"""The contract of ReplicatedReadModels: in memory and on PostgreSQL."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import pytest

from adapters.postgres.read_model.projector import Projector
from adapters.postgres.read_model.replica import ReplicaReadModels, replica_pool
from projections.facility import FacilitiesProjection, key_of
from projections.queries.replica import ReplicaAwareView, ReplicatedReadModels
from projections.queries.views import ReadModelsUnavailable
from tests.fakes.operations.alerts import FakeAlertRegistry
from tests.fakes.read_models import FakeReadModels
from tests.fakes.replicated_read_models import FakeReplicatedReadModels
from tests.integration.projections.stored_log import StoppedClock, store_entries
from tests.property.projections.projected_logs import PortfolioWalk
from tests.servers import Database

LONG_S = 10.0
"""Wait until the next check is due, whatever the last one found."""


@dataclass
class ReplicaRig:
    """The replica has two facilities, its primary has three."""

    models: ReplicatedReadModels
    failing: Callable[[], AbstractContextManager[Any]]
    """The replica does not answer inside the block."""
    seconds: list[float]

    def check_replica(self) -> None:
        self.seconds[0] += LONG_S
        self.models.check_replica()

    def listed(self) -> list[str]:
        return [row.facility_id for row in self.models.facilities.listed().rows]


@pytest.fixture(params=["memory", "postgres"])
def rig(request: pytest.FixtureRequest) -> Iterator[ReplicaRig]:
    walk, seconds = PortfolioWalk(facilities=2), [0.0]
    replicated = list(walk.entries)
    walk.register("fac-003")
    primary = FakeReadModels(walk.entries)
    if request.param == "memory":
        fake = FakeReplicatedReadModels(FakeReadModels(replicated), primary, monotonic=lambda: seconds[0])
        yield ReplicaRig(fake, fake.failing, seconds)
        return
    database: Database = request.getfixturevalue("database")
    store_entries(database.admin_dsn, replicated)
    Projector(
        FacilitiesProjection(), dsn=database.app_dsn, alerts=FakeAlertRegistry(), clock=StoppedClock()
    ).catch_up()
    pool = replica_pool(database.app_dsn, size=1, connect_within_s=0.2)
    pool.wait()
    try:
        # The only connection is in use, so that the replica does not answer.
        yield ReplicaRig(
            ReplicaReadModels(pool, primary, monotonic=lambda: seconds[0]), pool.connection, seconds
        )
    finally:
        pool.close()


def test_before_the_first_check_the_replica_state_is_none(rig: ReplicaRig) -> None:
    assert (rig.models.age_s(), rig.models.source().name) == (None, "primary")


def test_the_age_of_replica_data_grows_until_the_next_check(rig: ReplicaRig) -> None:
    rig.check_replica()
    assert (rig.models.age_s(), rig.models.source().name) == (0.0, "replica")
    rig.seconds[0] += 4.0
    assert rig.models.age_s() == 4.0
    rig.check_replica()
    assert rig.models.age_s() == 0.0


def test_lists_come_from_the_replica_and_missing_rows_from_the_primary(rig: ReplicaRig) -> None:
    assert rig.listed() == ["fac-001", "fac-002"]
    found = rig.models.facilities.get(key_of("fac-003"))
    assert found is not None
    assert found.facility_id == "fac-003"
    keys = [key_of(name) for name in ("fac-001", "fac-003", "fac-009")]
    assert set(rig.models.facilities.by_key(keys)) == set(keys[:2])


def test_a_replica_that_does_not_answer_has_no_state_and_the_primary_is_read(rig: ReplicaRig) -> None:
    rig.check_replica()
    with rig.failing():
        assert rig.listed() == ["fac-001", "fac-002", "fac-003"]
        rig.check_replica()
        assert (rig.models.age_s(), rig.models.source().name) == (None, "primary")
    rig.seconds[0] += 2.0
    rig.models.check_replica(at_once=True)
    assert (rig.models.age_s(), rig.models.source().name) == (0.0, "replica")
    assert rig.listed() == ["fac-001", "fac-002"]


def test_a_replica_without_a_primary_is_read_in_any_state(rig: ReplicaRig) -> None:
    replica_only = rig.models.replica_only.facilities
    assert [row.facility_id for row in replica_only.listed().rows] == ["fac-001", "fac-002"]
    assert replica_only.get(key_of("fac-003")) is None
    assert rig.models.age_s() is None, "a read from the replica runs no check"
    with rig.failing(), pytest.raises(ReadModelsUnavailable):
        replica_only.listed()


def test_related_queries_go_to_one_server(rig: ReplicaRig) -> None:
    view = rig.models.facilities
    assert isinstance(view, ReplicaAwareView)

    def both(view: Any) -> tuple[int, int]:
        return len(view.listed().rows), len(view.by_key([key_of("fac-003")]))

    assert view.read_consistently(both) == (2, 0)
    with rig.failing():
        assert view.read_consistently(both) == (3, 1)
