"""The guide to the HTTP API names every read."""

import re

import pytest

from tests.architecture.source_tree import ROOT
from tests.unit.interfaces.web.declared_policies import POLICIES

PAGE = (ROOT / "docs/guides/api.md").read_text()
NAMED = {re.sub(r"\{\w+\}", "{}", path) for path in re.findall(r"`(?:GET )?(/api/[^`?]*)", PAGE)}
ELSEWHERE = "/api/audit/"
"""These routes are in auditor.md, which the guide names."""
READS = sorted(
    route[4:] for route in POLICIES if route.startswith("GET /api/") and not route[4:].startswith(ELSEWHERE)
)


@pytest.mark.parametrize("read", READS)
def test_the_guide_names_every_read(read: str) -> None:
    assert re.sub(r"\{\w+\}", "{}", read) in NAMED
