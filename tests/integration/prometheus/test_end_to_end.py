"""From the register to a person: web process, Prometheus, Alertmanager, webhook; and a database that is away."""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapters.embedded.loopback import free_port
from interfaces.bootstrap import open_stores
from interfaces.settings.settings import read_settings
from tests.architecture.prometheus_rules import FILE
from tests.integration.prometheus.processes import eventually, running
from tests.open_alerts import begin_alert, end_alert
from tests.servers import Database

DebianCommand = Callable[[str], Path]


@dataclass
class Person:
    """What Alertmanager posts: (path, alert, status)."""

    url: str = ""
    messages: list[tuple[str, str, str]] = field(default_factory=list)

    def has(self, path: str, alert: str, status: str) -> bool:
        return (path, alert, status) in self.messages


@contextmanager
def person() -> Iterator[Person]:
    someone = Person()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            document = json.loads(self.rfile.read(int(self.headers["content-length"])))
            someone.messages += [
                (self.path, alert["labels"]["alertname"], alert["status"]) for alert in document["alerts"]
            ]
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        someone.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield someone
        server.shutdown()


def shipped(name: str) -> Any:
    return yaml.safe_load(FILE.with_name(name).read_text())


def prometheus_config(folder: Path, *, scraped: int, alertmanager: int) -> Path:
    config = shipped("prometheus.yml")
    config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(FILE)]
    config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{alertmanager}"]
    job = {"job_name": "gridproof", "static_configs": [{"targets": [f"127.0.0.1:{scraped}"]}]}
    config["scrape_configs"] = [job]
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(config))
    return file


def alertmanager_config(folder: Path, url: str) -> Path:
    config = shipped("alertmanager.yml")
    config["route"] |= {"group_wait": "0s", "group_interval": "1s"}
    for route in config["route"]["routes"]:
        route["group_interval"] = "1s"
    for receiver in config["receivers"]:
        webhook = receiver["webhook_configs"][0]
        webhook["url"] = url + webhook["url"].partition(":18080")[2]
    file = folder / "alertmanager.yml"
    file.write_text(yaml.safe_dump(config))
    return file


@pytest.fixture
def environ(database: Database, tmp_path: Path) -> dict[str, str]:
    return {
        "GRIDPROOF_DATABASE_URL": database.app_dsn,
        "GRIDPROOF_DATA_DIR": str(tmp_path),
        "GRIDPROOF_HTTP_BIND": f"127.0.0.1:{free_port()}",
        "GRIDPROOF_HTTP_METRICS_BIND": f"127.0.0.1:{free_port()}",
    }


def test_an_alert_goes_from_the_register_to_a_person_and_ends(
    environ: dict[str, str], tmp_path: Path, debian_command: DebianCommand
) -> None:
    scraped = int(environ["GRIDPROOF_HTTP_METRICS_BIND"].rpartition(":")[2])
    alertmanager = free_port()
    storage = [tmp_path / "prometheus", tmp_path / "alertmanager"]
    with (
        person() as someone,
        closing(open_stores(read_settings(environ), pool_size=1)) as stores,
        running(sys.executable, "-m", "interfaces.cli", "worker", "web", environ=environ) as web,
        running(
            debian_command("prometheus-alertmanager"),
            f"--config.file={alertmanager_config(tmp_path, someone.url)}",
            f"--storage.path={storage[1]}",
            f"--web.listen-address=127.0.0.1:{alertmanager}",
            "--cluster.listen-address=",
        ),
        running(
            debian_command("prometheus"),
            f"--config.file={prometheus_config(tmp_path, scraped=scraped, alertmanager=alertmanager)}",
            f"--storage.tsdb.path={storage[0]}",
            f"--web.listen-address=127.0.0.1:{free_port()}",
            "--rules.alert.resend-delay=1s",
        ),
    ):
        alerts, now = stores.alerts(), stores.clock.now
        begin_alert(alerts, "relay_stopped", "relay", "at position 9", at=now())
        eventually(lambda: someone.has("/on-duty", "relay_stopped", "firing"), "the page")
        eventually(lambda: someone.has("/watchdog", "gridproof_watchdog", "firing"), "the watchdog")
        end_alert(alerts, "relay_stopped", "relay", at=now())
        eventually(lambda: someone.has("/on-duty", "relay_stopped", "resolved"), "its end")
        assert web.poll() is None
