"""The log is followed in one place, over one session that holds the follower's lock (ADR 0057)."""

import ast
from collections.abc import Iterator

import pytest

from tests.architecture.source_tree import PACKAGES, ROOT, parsed, place, python_files

LISTENERS = {
    "adapters/postgres/event_store/log_session.py": "the followers of the log",
    "adapters/postgres/event_store/log_listener.py": "a signal on an event loop: the relay, the live feed",
    "adapters/postgres/read_model/waits.py": "a request that waits for a projection",
}


def listening(tree: ast.AST) -> Iterator[ast.AST]:
    """Uses of psycopg's `notifies`: a loop that follows the log waits there."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == "notifies":
            yield node


def test_the_log_is_followed_in_one_place() -> None:
    others = [file for file in python_files(*PACKAGES) if str(file.relative_to(ROOT)) not in LISTENERS]
    assert [place(file, node) for file in others for node in listening(parsed(file))] == []


@pytest.mark.parametrize("file", LISTENERS)
def test_the_places_that_listen_are_detected(file: str) -> None:
    assert list(listening(parsed(ROOT / file)))
