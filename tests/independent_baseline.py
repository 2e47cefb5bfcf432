"""Recorded figures of a simulated year against the commands of an independent person.

What `baseline compute` is given is the contract, the calendar and the days that the facility served, never what was
recorded. Equal means the same doubles.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from domain.dispatch import MeasurementFigures
from interfaces.cli import main
from interfaces.cli.telemetry.export import ExportSources
from tests.simulated_year import CONTRACTS, FACILITY, REGION, TZ, Served, SimulatedYear


class Comparison:
    """The commands of an independent person, against what was recorded."""

    def __init__(self, year: SimulatedYear, folder: Path) -> None:
        self.year, self.folder, self.files = year, folder, 0
        self.position = 0
        self.methods: set[str] = set()
        self.skipped: set[str] = set()

    def check_new(self) -> list[Served]:
        """Check what was recorded since the last call; returns the DR events."""
        facts = self.year.facts_after(self.position)
        self.position = self.year.store.head()
        for served, recorded in facts:
            self.check(served, recorded)
        return [served for served, _ in facts]

    def check(self, served: Served, recorded: MeasurementFigures) -> None:
        contract = CONTRACTS[served.program]
        document = self._computed(served, self._exported(served))
        figures = json.loads(msgspec.json.encode(recorded))
        assert document["delivered_kw"] == figures["delivered_kw"], served
        assert document["days"] == list(recorded.days_used)
        assert document["days_considered"] == figures["days"]
        assert document["days_skipped"] == figures["skipped"]
        assert document["adjustment"] == figures["adjustment"]
        assert document["intervals"] == figures["intervals"]
        assert document["regression"] == figures["regression"]
        assert document["uncertainty"] == figures["uncertainty"]
        assert (recorded.baseline_method, recorded.parameters) == (contract.method, contract.parameters)
        assert set(recorded.holidays) <= self.year.holidays_of(served.program)
        assert recorded.holidays_of == (REGION if contract.holidays is None else "program")
        assert not set(recorded.dr_event_days) & set(self.year.opted_out)
        self.methods.add(recorded.baseline_method)
        self.skipped |= {one.why for one in recorded.skipped}

    def _run(self, *arguments: str) -> str:
        result = CliRunner().invoke(main, list(arguments), catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    def _exported(self, served: Served) -> Path:
        """More than is needed, in both forms by turns."""
        self.files += 1
        path = self.folder / f"{self.files}.{('csv', 'parquet')[self.files % 2]}"
        back = timedelta(days=50)
        span = (served.measured.starts_at - back, served.measured.ends_at + timedelta(hours=3))
        self._run(
            "telemetry",
            "export",
            FACILITY,
            "--from",
            text(span[0]),
            "--to",
            text(span[1]),
            "--out",
            str(path),
        )
        return path

    def _computed(self, served: Served, path: Path) -> Any:
        contract, window = CONTRACTS[served.program], served.measured
        others = [one for one in self.year.served if one.dr_event_id != served.dr_event_id]
        days = {
            at.astimezone(TZ).date()
            for one in others
            for at in (one.starts_at, one.ends_at - timedelta.resolution)
        }
        return json.loads(
            self._run(
                *("baseline", "compute", "--readings", str(path), "--facility", FACILITY, "--tz", TZ.key),
                *("--method", contract.method, *contract.options),
                *("--start", text(window.starts_at), "--end", text(window.ends_at)),
                *(part for day in days for part in ("--event-day", day.isoformat())),
                *(
                    part
                    for day in sorted(self.year.holidays_of(served.program))
                    for part in ("--holiday", day.isoformat())
                ),
                "--json",
            )
        )


def text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def export_from(year: SimulatedYear, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `telemetry export` read the stores of that year."""

    @contextmanager
    def opened() -> Iterator[ExportSources]:
        yield ExportSources(year.store, year.telemetry, year.source)

    monkeypatch.setattr("interfaces.cli.telemetry.export.opened_sources", opened)
