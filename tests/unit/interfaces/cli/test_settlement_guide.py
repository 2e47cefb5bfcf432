"""docs/guides/settlement.md: its files settle to its total, and its tables name what exists."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from adapters.readings_file import open_readings_file
from application.settlement.flags import FLAGS
from interfaces.cli.settlement.commands import settlement_group
from interfaces.settlement.statement.csv_records import COLUMNS

GUIDE = (Path(__file__).parents[4] / "docs" / "guides" / "settlement.md").read_text()


def block(kind: str, beginning: str) -> str:
    blocks = re.findall(rf"```{kind}\n(.*?)```", GUIDE, re.DOTALL)
    (found,) = (one for one in blocks if one.startswith(beginning))
    return str(found)


def test_the_files_of_the_guide_settle_to_the_total_of_its_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interfaces.cli.settlement.compute.open_readings", open_readings_file)
    monkeypatch.setattr("interfaces.cli.settlement.compute.regression_fitter", lambda: None)
    contents = {
        "readings.csv": block("csv", "facility,"),
        "program.json": block("json", '{"program_id"'),
        "event.json": block("json", '{"dr_event_id"'),
    }
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
    options = ("--readings", "readings.csv", "--program", "program.json", "--event", "event.json")
    given = [str(tmp_path / one) if one in contents else one for one in options]
    ran = CliRunner().invoke(settlement_group, ["compute", *given, "--json"])
    assert ran.exit_code == 0, ran.stderr
    (settlement,) = json.loads(ran.stdout)["settlements"]
    shown = [f"{line['formula']} = {line['amount']}" for line in settlement["lines"]]
    assert shown == ["4.00 x 100.000 kW x 0.90 = 360.00", "1.50 x 180.000 kWh = 270.00"]
    assert all(line in GUIDE for line in shown)
    assert f"**{settlement['total']}**" in GUIDE


def test_the_guide_names_every_flag_and_the_columns_of_the_csv() -> None:
    assert re.findall(r"^\| `(\w+)` \|", GUIDE.partition("## Flags")[2], re.MULTILINE) == list(FLAGS)
    assert f"`{','.join(COLUMNS)}`" in GUIDE
