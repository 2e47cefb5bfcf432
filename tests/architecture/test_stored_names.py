"""What is stored, on the wire or scraped keeps its name, whatever the code calls it."""

import json

from tests.architecture.stored_names import LITERALS, ROOT, STORED, names_of

HOW = "python tests/architecture/stored_names.py --write, after reading what changed"


def test_no_stored_name_has_changed_or_is_missing_from_the_list() -> None:
    assert names_of(ROOT) == json.loads(STORED.read_text()), HOW


def test_every_literal_that_is_looked_for_exists() -> None:
    stored = json.loads(STORED.read_text())
    assert {kind: sorted(names) for kind, names in LITERALS.items()} == {
        kind: stored[kind] for kind in LITERALS
    }
