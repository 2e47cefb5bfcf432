"""`make audit-dependencies` is green only where advisories were reached."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from adapters.embedded.loopback import free_port
from tests.patience import START_S
from tests.supply_chain.audit_dependencies import CONTROL, NOT_CHECKED, VULNERABLE, verdict

ROOT = Path(__file__).parents[2]


@contextmanager
def advisories(*vulnerable: str) -> Iterator[str]:
    """A service in the protocol of OSV that knows an advisory for each `NAME==VERSION`; its address."""

    class Advisories(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            name, version = asked["package"]["name"], asked["version"]
            affected = [{"package": {"name": name, "ecosystem": "PyPI"}}]
            found = {"vulns": [{"id": f"TEST-{name}", "affected": affected, "summary": "a test"}]}
            body = json.dumps(found if f"{name}=={version}" in vulnerable else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Advisories)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
    finally:
        server.shutdown()
        server.server_close()


def audit(lock: Path, *options: str, **environ: str) -> tuple[int, str]:
    """The exit status and the last line."""
    outcome = subprocess.run(
        [sys.executable, "-m", "tests.supply_chain.audit_dependencies", str(lock), *options],
        cwd=ROOT, env=os.environ | environ, capture_output=True, text=True, timeout=START_S, check=False,
    )  # fmt: skip
    assert outcome.stdout, outcome.stderr
    return outcome.returncode, outcome.stdout.splitlines()[-1]


def of(url: str) -> tuple[str, ...]:
    return ("--vulnerability-service", "osv", "--osv-url", url, "--timeout", "60")


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "requirements.lock"
    path.write_text(
        "".join(f"{name}==1.0 \\\n    --hash=sha256:{'0' * 64}\n" for name in ("first", "second"))
    )
    return path


def test_packages_without_an_advisory_are_reported_as_checked(lock: Path) -> None:
    with advisories(CONTROL) as url:
        assert audit(lock, *of(url)) == (0, "checked 2 packages: none has a known vulnerability")


def test_a_vulnerable_package_is_named(lock: Path) -> None:
    with advisories(CONTROL, "second==1.0") as url:
        assert audit(lock, *of(url)) == (VULNERABLE, "second 1.0: TEST-second")


def test_a_source_without_advisories_checks_nothing(lock: Path) -> None:
    with advisories() as url:
        status, text = audit(lock, *of(url))
    assert status == NOT_CHECKED
    assert text == f"NOT CHECKED: the source of advisories knows none of {CONTROL}, which is vulnerable"


def test_a_source_out_of_reach_checks_nothing(lock: Path) -> None:
    status, text = audit(lock, HTTPS_PROXY=f"http://127.0.0.1:{free_port()}", NO_PROXY="", no_proxy="")
    assert status == NOT_CHECKED
    assert text.startswith("NOT CHECKED: pip-audit ended with 1:")


def test_a_package_that_pip_audit_skipped_is_not_checked() -> None:
    control = [{"name": "jinja2", "version": "2.4.1", "vulns": [{"id": "PYSEC-2014-8"}]}]
    fine = {"name": "first", "version": "1.0", "vulns": []}
    skipped = {"name": "second", "skip_reason": "Dependency not found on PyPI and could not be audited"}
    assert verdict(control, [fine, skipped]) == (NOT_CHECKED, "NOT CHECKED: 1 of 2 packages: second")
    assert verdict([skipped], [fine])[0] == NOT_CHECKED
    assert verdict(control, [])[0] == NOT_CHECKED
    assert verdict(control, [{**fine, "vulns": [{"id": "TEST-1"}]}, skipped])[0] == VULNERABLE
