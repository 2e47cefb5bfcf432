"""Exported steps: every format says the same, and there is a file only once it has all of them."""

import csv
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec
import pytest
from pyarrow import parquet

from interfaces.cli import audit_files
from interfaces.cli.audit_files import COLUMNS, ExportExists, export_steps
from projections.audit_steps import AuditTrailRow
from projections.paging import every_row
from tests.fakes.read_models import FakeReadModels
from tests.property.projected_logs import PortfolioWalk


@pytest.fixture(scope="module")
def steps() -> list[AuditTrailRow]:
    walk = PortfolioWalk()
    walk.happy()
    return list(every_row(FakeReadModels(walk.entries).audit_trail))


def test_every_format_has_every_step(
    steps: list[AuditTrailRow], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_files, "BATCH", 7)
    count, files = export_steps(iter(steps), ["jsonl", "csv", "parquet"], tmp_path / "export")
    assert count == len(steps) > 20
    assert sorted(path.name for path in (tmp_path / "export").iterdir()) == sorted(
        path.name for path in files
    )
    lines, table, columns = files
    assert [
        msgspec.json.decode(line, type=AuditTrailRow) for line in lines.read_bytes().splitlines()
    ] == steps

    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["position"] for row in rows] == [str(step.position) for step in steps]
    assert [datetime.fromisoformat(row["recorded_at"]) for row in rows] == [
        step.recorded_at for step in steps
    ]
    assert [row["what"] for row in rows] == [step.what for step in steps]
    assert {row["facility_id"] for row in rows} == {step.facility_id or "" for step in steps}

    stored = parquet.read_table(columns).to_pylist()
    assert list(stored[0]) == list(COLUMNS)
    assert [row["recorded_at"] for row in stored] == [step.recorded_at for step in steps]
    assert [(row["cause_position"], row["causation_id"]) for row in stored] == [
        (step.caused_by.position, str(step.caused_by.causation_id)) for step in steps
    ]


def test_a_file_that_is_there_is_not_overwritten(steps: list[AuditTrailRow], tmp_path: Path) -> None:
    (tmp_path / "audit-steps.csv").write_text("an earlier one")
    with pytest.raises(ExportExists, match="another folder"):
        export_steps(steps, ["jsonl", "csv"], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["audit-steps.csv"]
    assert (tmp_path / "audit-steps.csv").read_text() == "an earlier one"


def test_what_does_not_come_to_its_end_leaves_no_file(steps: list[AuditTrailRow], tmp_path: Path) -> None:
    def interrupted() -> Iterator[AuditTrailRow]:
        yield steps[0]
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        export_steps(interrupted(), ["jsonl", "csv", "parquet"], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_no_steps_are_an_empty_file_of_each_format(tmp_path: Path) -> None:
    count, files = export_steps([], ["jsonl", "csv", "parquet"], tmp_path)
    assert count == 0
    assert files[0].read_bytes() == b""
    assert files[1].read_text().splitlines() == [",".join(COLUMNS)]
    assert parquet.read_table(files[2]).num_rows == 0
