"""deploy/rollout: what is judged, what is rolled back, and in which order; and the Job for Helm."""

from __future__ import annotations

import json
import runpy
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from tests.architecture.source_tree import ROOT
from tests.patience import START_S

FOLDER = ROOT / "deploy" / "rollout"
SCRIPT = runpy.run_path(str(FOLDER / "rollout.py"))
LIMITS = SCRIPT["Limits"](
    error_share=0.01, p99_s=1.0, least_requests=20, watch_s=0.2, every_s=0.1, ready_within_s=0.2
)


class Prometheus(ThreadingHTTPServer):
    """Answers every query of the script with these figures."""

    requests, errors, p99_s = 100.0, 0.0, 0.1
    queries: list[str]

    def value(self, query: str) -> float | None:
        self.queries.append(query)
        if "histogram_quantile" in query:
            return self.p99_s
        return self.errors if "5.." in query else self.requests


class Handler(BaseHTTPRequestHandler):
    server: Prometheus

    def do_GET(self) -> None:
        value = self.server.value(parse_qs(urlsplit(self.path).query)["query"][0])
        body = json.dumps({"data": {"result": [{"value": [0, str(value)]}]}}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def prometheus() -> Iterator[Prometheus]:
    with Prometheus(("127.0.0.1", 0), Handler) as server:
        server.queries = []
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


def rolled_out(folder: Path, prometheus: Prometheus, *replace: str) -> tuple[int, str]:
    """The exit status, and what the commands wrote: `replace` are those of process 0, 1, ..."""
    journal = folder / "journal"
    noting = f"import sys; open({str(journal)!r}, 'a').write(sys.argv[1] + ' ')"
    processes = [
        {
            "name": f"web-{number}",
            "instance": f"host-{number}",
            "replace": [sys.executable, "-c", code or noting, f"new{number}"],
            "roll_back": [sys.executable, "-c", noting, f"old{number}"],
        }
        for number, code in enumerate(replace)
    ]
    plan = folder / "plan.json"
    plan.write_text(json.dumps({"processes": processes}))
    address = f"http://127.0.0.1:{prometheus.server_port}"
    status = SCRIPT["replace"](SCRIPT["read_plan"](plan), address, 'job="gridproof"', LIMITS)
    return status, journal.read_text().strip() if journal.exists() else ""


def test_processes_are_replaced_in_order_and_each_is_judged_by_its_own_requests(
    tmp_path: Path, prometheus: Prometheus
) -> None:
    assert rolled_out(tmp_path, prometheus, "", "") == (0, "new0 new1")
    judged = [number for number in range(2) if f'instance="host-{number}"' in "".join(prometheus.queries)]
    assert judged == [0, 1]
    assert all('job="gridproof"' in query for query in prometheus.queries)


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({"errors": 2.0}, "more than 1.0% errors"),
        ({"p99_s": 1.5}, "p99 is over 1 s"),
        ({"requests": 5.0}, "too few to judge by"),
    ],
)
def test_a_limit_that_is_exceeded_rolls_back(
    tmp_path: Path,
    prometheus: Prometheus,
    capsys: pytest.CaptureFixture[str],
    figures: dict[str, float],
    said: str,
) -> None:
    for name, value in figures.items():
        setattr(prometheus, name, value)
    assert rolled_out(tmp_path, prometheus, "", "") == (3, "new0 old0")
    assert said in capsys.readouterr().out


def test_a_command_that_fails_rolls_all_back_the_last_one_first(
    tmp_path: Path, prometheus: Prometheus
) -> None:
    assert rolled_out(tmp_path, prometheus, "", "raise SystemExit(1)") == (3, "new0 old1 old0")


def test_a_process_that_prometheus_says_nothing_of_is_not_good() -> None:
    limits = SCRIPT["Limits"](
        error_share=0.01, p99_s=1.0, least_requests=1, watch_s=5.0, every_s=0.01, ready_within_s=0.2
    )
    with pytest.raises(SCRIPT["LimitExceeded"], match="Prometheus does not answer"):
        SCRIPT["watch"]("http://127.0.0.1:1", "", limits)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        '{"processes": []}',
        '{"processes": [{"nam": 1}]}',
        '{"processes": [{"name": "a", "replace": "ssh a", "roll_back": ["b"]}]}',
        '{"processes": [{"name": "a", "replace": ["b"], "roll_back": ["b"], "ready": "host/ready"}]}',
    ],
)
def test_a_plan_that_cannot_be_read_is_wrong_usage(tmp_path: Path, content: str) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(content)
    refused = subprocess.run(
        [sys.executable, FOLDER / "rollout.py", "replace", plan, "--prometheus", "http://127.0.0.1:1"],
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )
    assert refused.returncode == 2
    assert "plan.json" in refused.stderr


def test_an_answer_that_is_no_http_is_not_ready() -> None:
    """As of a port that speaks TLS: what was replaced is rolled back."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"\x15\x03\x01\x00\x02\x02\x16\r\n")

        threading.Thread(target=answer, daemon=True).start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}/ready"
        process = SCRIPT["Process"](name="web", replace=["a"], roll_back=["b"], ready=address)
        with pytest.raises(SCRIPT["LimitExceeded"], match="not ready within"):
            SCRIPT["wait_until_ready"](process, 0.2)


def test_the_job_for_helm_runs_the_script_with_options_that_it_has() -> None:
    job = yaml.safe_load((FOLDER / "helm-rollback.yaml").read_text())
    assert job["kind"] == "Job"
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "post-upgrade"
    [container] = job["spec"]["template"]["spec"]["containers"]
    options = SCRIPT["parsed"](container["command"][2:])
    assert (options.command, options.selector) == ("watch", 'job="gridproof"')
    assert options.watch_s < job["spec"]["activeDeadlineSeconds"]
