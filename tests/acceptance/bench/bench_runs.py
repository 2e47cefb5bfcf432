"""Runs a benchmark by its command, at a small scale."""

import json
from typing import Any

from click.testing import CliRunner

from tests.bench.run import bench


def document_of(name: str, *, scale: str = "0.001") -> dict[str, Any]:
    """What `python -m tests.bench.run NAME --json` prints."""
    result = CliRunner().invoke(bench, [name, "--json", "--scale", scale], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def figures_of(name: str, *, scale: str = "0.001") -> list[dict[str, Any]]:
    return list(document_of(name, scale=scale)["figures"])
