"""A real influxd 1.6.7 (Debian's) for the tests, behind a shim that adds the write API of 1.8 and later.

1.8, 2.x and 3.x accept rows at `/api/v2/write?bucket=DATABASE/POLICY`; 1.6.7 accepts the same rows at `/write`. The
shim translates the one into the other and passes everything else on. It also simulates faults.
"""

from __future__ import annotations

import http.client
import itertools
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

from adapters.embedded.child_process import spawn
from adapters.embedded.loopback import HOST, free_port
from adapters.influxdb.connection import InfluxConnection
from adapters.influxdb.setup import set_up
from tests.patience import ANSWER_S, END_S

_CONFIGURATION = """\
reporting-disabled = true
bind-address = "{host}:{rpc_port}"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
  query-log-enabled = false
[retention]
  check-interval = "1s"
[monitor]
  store-enabled = false
[continuous_queries]
  log-enabled = false
  run-interval = "1s"
[http]
  bind-address = "{host}:{http_port}"
  log-enabled = false
"""
_names = itertools.count(1)


@dataclass
class InfluxServer:
    """`url` is the shim's."""

    program: Path
    folder: Path
    http_port: int
    rpc_port: int
    shim: Shim
    child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.shim.server_address[1]}"

    def fresh_name(self) -> str:
        """The name of a database that no other test uses."""
        return f"test_{next(_names)}"

    def start(self) -> None:
        """Start it with its existing data, and wait until it answers."""
        file = self.folder / "influxdb.conf"
        file.write_text(
            _CONFIGURATION.format(
                host=HOST, folder=self.folder, http_port=self.http_port, rpc_port=self.rpc_port
            ),
            encoding="utf-8",
        )
        with (self.folder / "influxd.log").open("ab") as log:
            self.child = spawn([str(self.program), "run", "-config", str(file)], output=log)
        deadline = time.monotonic() + ANSWER_S
        while not self._answers():
            assert self.child.poll() is None, (self.folder / "influxd.log").read_text(errors="replace")[
                -2_000:
            ]
            assert time.monotonic() < deadline, "influxd did not answer in time"
            time.sleep(0.05)

    def kill(self) -> None:
        """kill -9; `start` starts it again."""
        if self.child is not None:
            self.child.kill()
            self.child.wait(END_S)
            self.child = None

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self.http_port, timeout=ANSWER_S)
        try:
            connection.request("GET", "/ping")
            return connection.getresponse().status == 204
        except OSError:
            return False
        finally:
            connection.close()


@dataclass
class Faults:
    """The simulated faults of the shim."""

    statuses: list[int] = field(default_factory=list)
    """The statuses of the next writes, none of which is passed on."""
    lost_answers: int = 0
    """The number of writes that are passed on and whose connection is then closed without an answer."""
    writes: int = 0
    queries: int = 0


class Shim(ThreadingHTTPServer):
    """A proxy for the influxd on port `target`."""

    daemon_threads = True

    def __init__(self, target: int, port: int = 0) -> None:
        super().__init__((HOST, port), _Door)
        self.target = target
        self.faults = Faults()


class _Door(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    """Send an answer in one piece: a separate body would wait 40 ms for the client to acknowledge the headers."""
    server: Shim

    def do_GET(self) -> None:
        self._hand_on(self.path, b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        faults = self.server.faults
        if url.path != "/api/v2/write":
            faults.queries += 1
            self._hand_on(self.path, body)
            return
        faults.writes += 1
        if faults.statuses:
            self._answer(faults.statuses.pop(0), {}, b'{"code":"made up","message":"by the test"}')
            return
        asked = {name: values[0] for name, values in parse_qs(url.query).items()}
        database, _, policy = asked["bucket"].partition("/")
        precision = {"us": "u"}.get(asked["precision"], asked["precision"])
        self._hand_on(f"/write?{urlencode({'db': database, 'rp': policy, 'precision': precision})}", body)

    def _hand_on(self, path: str, body: bytes) -> None:
        connection = http.client.HTTPConnection(HOST, self.server.target, timeout=ANSWER_S)
        try:
            kind = self.headers.get("Content-Type", "text/plain")
            connection.request(self.command, path, body or None, {"Content-Type": kind})
            answer = connection.getresponse()
            content, headers = answer.read(), dict(answer.getheaders())
        except OSError:
            self.close_connection = True
            return
        finally:
            connection.close()
        if path.startswith("/write") and self.server.faults.lost_answers:
            self.server.faults.lost_answers -= 1
            self.close_connection = True
            return
        self._answer(answer.status, headers, content)

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower().startswith("x-influxdb") or name.lower() == "content-type":
                self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if status != 204:
            self.wfile.write(content)
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
        """Log nothing: a failing test reports the error."""


@contextmanager
def influx_connection(server: InfluxServer) -> Iterator[InfluxConnection]:
    """A new database with a retention of ten years, since tests choose their own times."""
    connection = InfluxConnection(server.url, server.fresh_name())
    try:
        set_up(connection, raw_days=3_650, rollup_days=3_650)
        yield connection
    finally:
        connection.close()


@contextmanager
def influxdb_server(program: Path) -> Iterator[InfluxServer]:
    """An influxd in a temporary folder, and its shim."""
    with tempfile.TemporaryDirectory(prefix="gridproof-influxdb-") as name:
        http_port, rpc_port = free_port(), free_port()
        shim = Shim(http_port)
        server = InfluxServer(program, Path(name), http_port, rpc_port, shim)
        serving = threading.Thread(target=shim.serve_forever, name="influxdb-shim", daemon=True)
        serving.start()
        try:
            server.start()
            yield server
        finally:
            shim.shutdown()
            shim.server_close()
            server.kill()
