"""The record of administrative acts in memory."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from application.ports.operations.act_log import AppliedMigration
from domain.administration import AdministrativeAct


class FakeActLog:
    def __init__(self, migrations: Sequence[AppliedMigration] = ()) -> None:
        self.applied = list(migrations)
        self.recorded: dict[UUID, Any] = {}

    def record(self, acts: Sequence[AdministrativeAct]) -> int:
        new = [act for act in acts if act.id not in self.recorded]
        self.recorded |= {act.id: recorded for act in new for recorded in act.collect_events()}
        return len(new)

    def migrations(self) -> list[AppliedMigration]:
        return list(self.applied)
