"""A Prometheus that scrapes processes on this machine, and the queries of the dashboards."""

from __future__ import annotations

import json
import math
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from adapters.embedded.loopback import free_port

DASHBOARDS = Path(__file__).resolve().parent.parent / "docs/prometheus/grafana"
EVERY_S = 2
WITHIN_S = 60.0


@dataclass(frozen=True)
class Prometheus:
    url: str

    def has_values(self, query: str, *, from_s: float, until_s: float) -> bool:
        """Whether the query returned a number at any time of that span (Unix time)."""
        answer = httpx.get(
            f"{self.url}/api/v1/query_range",
            params={"query": query, "start": from_s, "end": until_s, "step": EVERY_S},
            timeout=WITHIN_S,
        )
        document = answer.json()
        assert document["status"] == "success", (query, document)
        values = (value for series in document["data"]["result"] for _, value in series["values"])
        return any(not math.isnan(float(value)) for value in values)


@contextmanager
def prometheus(command: Path, folder: Path, ports: Sequence[int]) -> Iterator[Prometheus]:
    """One that scrapes those ports of this machine."""
    job = {"job_name": "gridproof", "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in ports]}]}
    every = {"scrape_interval": f"{EVERY_S}s", "scrape_timeout": f"{EVERY_S}s"}
    config = folder / "prometheus.yml"
    config.write_text(yaml.safe_dump({"global": every, "scrape_configs": [job]}))
    address = f"127.0.0.1:{free_port()}"
    server = subprocess.Popen(
        [
            command,
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'prometheus'}",
            f"--web.listen-address={address}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield Prometheus(f"http://{address}")
    finally:
        server.kill()
        server.wait()


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    """(dashboard, panel) of every shipped dashboard."""
    for file in sorted(DASHBOARDS.glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            yield file.stem, panel


def queries() -> dict[str, str]:
    """Query -> where it is, with Grafana's interval replaced by half a minute."""
    return {
        re.sub(r"\$__rate_interval", "30s", target["expr"]): f"{name}: {panel['title']}"
        for name, panel in panels()
        for target in panel["targets"]
    }
