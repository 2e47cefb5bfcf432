"""The guide for those who read the HTTP API names every read that there is."""

import re

import pytest

from tests.architecture.source_tree import ROOT
from tests.unit.interfaces.web.declared_policies import POLICIES

PAGE = (ROOT / "docs/guides/api.md").read_text()
NAMED = {re.sub(r"\{\w+\}", "{}", path) for path in re.findall(r"`(?:GET )?(/api/[^`?]*)", PAGE)}
ELSEWHERE = "/api/audit/"
"""In auditor.md, which the guide names."""
READS = sorted(
    route[4:] for route in POLICIES if route.startswith("GET /api/") and not route[4:].startswith(ELSEWHERE)
)


@pytest.mark.parametrize("read", READS)
def test_each_read_is_named(read: str) -> None:
    assert re.sub(r"\{\w+\}", "{}", read) in NAMED
