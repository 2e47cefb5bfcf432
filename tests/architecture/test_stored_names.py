"""Names that are stored, on the wire or scraped do not change when the code is renamed."""

import json
from pathlib import Path

from tests.architecture.stored_names import ROOT, STORED, missing_definitions, names_of

HOW = "python tests/architecture/stored_names.py --write, after reading what changed"


def test_no_stored_name_has_changed_or_is_missing_from_the_list() -> None:
    assert names_of(ROOT) == json.loads(STORED.read_text()), HOW


def test_every_name_exists_in_the_file_that_defines_it() -> None:
    assert missing_definitions(ROOT) == []


def test_a_name_that_exists_only_in_another_file_is_missing(tmp_path: Path) -> None:
    elsewhere = tmp_path / "application/operations/report.py"
    elsewhere.parent.mkdir(parents=True)
    elsewhere.write_text('KINDS = ("relay", "schedule")\n')
    missing = missing_definitions(tmp_path)
    assert "interfaces/workers/decide/relay.py: relay" in missing
    assert names_of(tmp_path)["lock_names"] == []
