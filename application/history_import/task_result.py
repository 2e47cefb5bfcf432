"""Results that the page shows of the check, the import or the take-back of a file of past readings."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

import msgspec

from application.history_import.importer import HistoryReport, ImportedFacility
from application.history_import.inspection import Finding, InspectedFacility
from application.history_import.taking_back import TakeBackReport

MOST_LISTED = 100


class FacilityFinding(msgspec.Struct, frozen=True, kw_only=True):
    """An anomaly of one facility. Nothing is refused because of it."""

    facility_id: str
    finding: Finding


class CheckedFile(msgspec.Struct, frozen=True, kw_only=True):
    """The rows that an import of the file would store."""

    rows: int
    facilities: int
    listed: tuple[ImportedFacility, ...]
    """The first MOST_LISTED of them."""
    counts: dict[str, int]
    """Anomalies by kind."""
    findings: tuple[FacilityFinding, ...]
    """The first MOST_LISTED of them."""


class ImportedFile(msgspec.Struct, frozen=True, kw_only=True):
    """The rows that were stored."""

    rows: int
    added: int
    changed: int
    unchanged: int


class TakenBackImport(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of an import that was taken back."""

    rows: int
    removed: int
    restored: int
    """Rows that have the value of an earlier import again."""
    kept: int
    """Rows that another import says too, or replaced."""
    corrected: int
    """Quarter-hours of which a correction is recorded."""
    failed: tuple[str, ...]
    """Facilities that are not done; taking it back again does the rest."""


class TaskResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The result of the task, by its kind."""

    checked: CheckedFile | None = None
    imported: ImportedFile | None = None
    import_id: UUID | None = None
    taken_back: TakenBackImport | None = None


def checked_file(report: HistoryReport, inspected: tuple[InspectedFacility, ...]) -> TaskResult:
    counts = sum((Counter(one.counts) for one in inspected), Counter[str]())
    findings = [
        FacilityFinding(facility_id=one.facility_id, finding=finding)
        for one in inspected
        for finding in one.findings
    ]
    return TaskResult(
        checked=CheckedFile(
            rows=report.rows,
            facilities=len(report.facilities),
            listed=report.facilities[:MOST_LISTED],
            counts=dict(counts),
            findings=tuple(findings[:MOST_LISTED]),
        )
    )


def imported_file(report: HistoryReport, import_id: UUID | None) -> TaskResult:
    return TaskResult(
        imported=ImportedFile(
            rows=report.rows, added=report.added, changed=report.changed, unchanged=report.unchanged
        ),
        import_id=import_id,
    )


def taken_back_import(report: TakeBackReport, import_id: UUID) -> TaskResult:
    total = report.total
    return TaskResult(
        taken_back=TakenBackImport(
            rows=report.rows,
            removed=total.removed,
            restored=total.restored,
            kept=total.kept,
            corrected=total.corrected,
            failed=tuple(one.facility_id for one in report.failed[:MOST_LISTED]),
        ),
        import_id=import_id,
    )
