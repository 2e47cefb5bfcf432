"""The commands that a runbook names."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from tests.demo_runs import ROOT

COMMAND = re.compile(r"`(gridproof\s[^`]+)`")
PLACEHOLDER = re.compile(r"^[A-Z][A-Z_]*$")
OPEN_REASON = ("...", "who said so")


def page_of(alert: str) -> str:
    return (ROOT / f"docs/runbooks/{alert}.md").read_text()


def commands_of(alert: str, section: str | None = None) -> list[str]:
    """The `gridproof` commands of the page, or of one section of it, in order and once each."""
    page = page_of(alert)
    text = page if section is None else page.partition(f"## {section}\n")[2].partition("\n## ")[0]
    return list(dict.fromkeys(" ".join(found.split()) for found in COMMAND.findall(text)))


def words_of(command: str, values: Mapping[str, str]) -> list[str]:
    """The words after `gridproof`, with `values` for the placeholders. Raises KeyError where one has no value."""
    words = shlex.split(command)[1:]
    return [_filled(word, values) for word in words]


def _filled(word: str, values: Mapping[str, str]) -> str:
    if word in OPEN_REASON:
        return "a game day"
    return values[word] if PLACEHOLDER.match(word) else word
