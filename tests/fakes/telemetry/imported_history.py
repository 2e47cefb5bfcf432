"""The imports of history of the fake store; they pass the contract suite of PostgreSQL's."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import numpy as np

from application.ports.telemetry.imported_history import (
    ImportSpan,
    NewImport,
    RecordedImport,
    RowsTakenBack,
)
from application.ports.telemetry.rollups import CorrectedInterval
from domain.telemetry.intervals import INTERVAL, interval_start
from domain.time_series.interval_block import IntervalBlock
from domain.time_series.windows import TimeWindow
from tests.fakes.telemetry.rollups import FakeTelemetryRollups
from tests.fakes.telemetry.store import FakeTelemetryStore
from tests.import_layers import Layer


class FakeImportedHistory:
    """`rollups` gets the corrections."""

    def __init__(self, store: FakeTelemetryStore, rollups: FakeTelemetryRollups) -> None:
        self.store, self.rollups = store, rollups
        self._imports: dict[UUID, RecordedImport] = {}
        self._spans: dict[UUID, list[ImportSpan]] = {}
        store.around_import = self._correcting

    def begin(self, new: NewImport) -> None:
        self.store.position(0)  # raises while the store is unavailable
        if new.import_id in self._imports:
            return
        self._spans[new.import_id] = sorted(new.spans, key=lambda span: span.facility_id)
        self._imports[new.import_id] = RecordedImport(
            import_id=new.import_id,
            begun_at=new.begun_at,
            begun_by=new.begun_by,
            file_sha256=new.file_sha256,
            rows=sum(span.rows for span in new.spans),
            facilities=len(new.spans),
            starts_at=min(span.starts_at for span in new.spans),
            ends_at=max(span.ends_at for span in new.spans),
            completed_at=None,
            added=None,
            changed=None,
            taken_back_at=None,
            taken_back_by=None,
            reason=None,
            facilities_left=0,
        )
        self.store.layers.open_imports.add(new.import_id)

    def complete(self, import_id: UUID, *, added: int, changed: int, at: datetime) -> None:
        self._change(import_id, completed_at=at, added=added, changed=changed)

    def listed(self, *, limit: int) -> list[RecordedImport]:
        self.store.position(0)
        newest = sorted(self._imports.values(), key=lambda one: (-one.begun_at.timestamp(), one.import_id))
        return [self._with_left(one) for one in newest[:limit]]

    def find(self, id_prefix: str) -> list[RecordedImport]:
        return [one for one in self.listed(limit=1_000) if str(one.import_id).startswith(id_prefix.lower())][
            :2
        ]

    def spans(self, import_id: UUID) -> list[ImportSpan]:
        self.store.position(0)
        return list(self._spans.get(import_id, []))

    def mark_taken_back(self, import_id: UUID, *, by: str, reason: str, at: datetime) -> None:
        if self._imports[import_id].taken_back_at is None:
            self._change(import_id, taken_back_at=at, taken_back_by=by, reason=reason)
            self.store.layers.open_imports.discard(import_id)

    def remove_rows(
        self, import_id: UUID, facility_id: str, *, corrected_from: datetime | None, at: datetime
    ) -> RowsTakenBack:
        self.store.position(0)
        done = RowsTakenBack()
        for layer in self.store.layers.of(import_id, facility_id):
            window = _window(layer, corrected_from)
            before = None if window is None else self.store.interval_series_of([facility_id], window)
            removed, restored = self.store.layers.remove(layer)
            done += RowsTakenBack(
                removed=removed, restored=restored, kept=len(layer.values) - removed - restored
            )
            if window is not None and before is not None:
                after = self.store.interval_series_of([facility_id], window)
                done += RowsTakenBack(corrected=self._corrected(before, after, at))
        return done

    def finish(self, import_id: UUID, facility_id: str, *, at: datetime) -> None:
        self.store.position(0)
        self._spans[import_id] = [
            msgspec.structs.replace(span, taken_back_at=at)
            if span.facility_id == facility_id and span.taken_back_at is None
            else span
            for span in self._spans[import_id]
        ]

    @contextmanager
    def _correcting(self, keys: Iterable[tuple[str, int, int]]) -> Iterator[None]:
        """Records the corrections of an import over what was taken back."""
        before = []
        for facility_id in {facility_id for facility_id, _, _ in keys}:
            starts = [(at, at + step) for one, at, step in keys if one == facility_id]
            first, last = min(at for at, _ in starts), max(end for _, end in starts)
            parts = [
                (max(first, int(span.starts_at.timestamp())), min(last, int(span.ends_at.timestamp())))
                for import_id, spans in self._spans.items()
                for span in spans
                if span.facility_id == facility_id and self._imports[import_id].taken_back_at is not None
            ]
            overlap = [(start, end) for start, end in parts if start < end]
            if overlap:
                starts_at = datetime.fromtimestamp(min(start for start, _ in overlap), UTC)
                ends_at = datetime.fromtimestamp(max(end for _, end in overlap), UTC)
                window = TimeWindow(
                    interval_start(starts_at), interval_start(ends_at + INTERVAL - timedelta(microseconds=1))
                )
                before.append((self.store.interval_series_of([facility_id], window), facility_id, window))
        yield
        for block, facility_id, window in before:
            after = self.store.interval_series_of([facility_id], window)
            self._corrected(block, after, self.rollups.clock.now())

    def _change(self, import_id: UUID, **changes: object) -> None:
        self.store.position(0)
        self._imports[import_id] = msgspec.structs.replace(self._imports[import_id], **changes)

    def _with_left(self, one: RecordedImport) -> RecordedImport:
        left = sum(span.taken_back_at is None for span in self._spans[one.import_id])
        return msgspec.structs.replace(one, facilities_left=0 if one.taken_back_at is None else left)

    def _corrected(self, before: IntervalBlock, after: IntervalBlock, at: datetime) -> int:
        [facility_id] = before.facility_ids
        found = 0
        for n in range(before.mean_kw.shape[1]):
            old, new = (
                (block.mean_kw[0, n], block.coverage_pct[0, n], block.temp_c[0, n])
                for block in (before, after)
            )
            if np.array_equal(old, new, equal_nan=True):
                continue
            found += 1
            old_kw, new_kw = (None if np.isnan(kw) else float(kw) for kw in (old[0], new[0]))
            self.rollups.corrections.append(
                CorrectedInterval(
                    correction_id=len(self.rollups.corrections) + 1,
                    facility_id=facility_id,
                    starts_at=before.starts_at + n * INTERVAL,
                    old_mean_kw=old_kw,
                    new_mean_kw=new_kw,
                    old_kwh=None if old_kw is None else old_kw / 4,
                    new_kwh=None if new_kw is None else new_kw / 4,
                    corrected_at=at,
                )
            )
        return found


def _window(layer: Layer, corrected_from: datetime | None) -> TimeWindow | None:
    if corrected_from is None:
        return None
    starts = [at for _, at, _ in layer.values]
    [step_s] = {step for _, _, step in layer.values}
    first = interval_start(max(datetime.fromtimestamp(min(starts), UTC), corrected_from))
    end = datetime.fromtimestamp(max(starts), UTC) + timedelta(seconds=step_s)
    ends_at = interval_start(end + INTERVAL - timedelta(microseconds=1))
    return TimeWindow(first, ends_at) if first < ends_at else None
