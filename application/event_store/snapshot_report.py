"""The result of `gridproof audit verify --snapshots`: each stored snapshot compared with its stream's domain events."""

from typing import Literal
from uuid import UUID

import msgspec

SnapshotFault = Literal["wrong-mac", "ahead", "differs"]
"""`wrong-mac`: not made with the system's key. `ahead`: its stream has no such version. `differs`: another state than
the domain events give; a defect of the release that took it."""
MAX_FINDINGS = 100


class SnapshotFinding(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot that does not hold."""

    kind: SnapshotFault
    stream_id: UUID
    version: int


class SnapshotReport(msgspec.Struct, kw_only=True):
    """Counts of snapshots. Only `equal` ones and those with findings were compared or judged."""

    equal: int = 0
    other_schema: int = 0
    """With a valid MAC, of a release whose states have another shape; they are not used."""
    findings: list[SnapshotFinding] = []
    """At most 100."""
    more_findings: int = 0

    @property
    def holds(self) -> bool:
        return not self.findings

    def add(self, kind: SnapshotFault, stream_id: UUID, version: int) -> None:
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(SnapshotFinding(kind=kind, stream_id=stream_id, version=version))
        else:
            self.more_findings += 1
