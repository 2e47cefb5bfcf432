"""A Mosquitto for one test."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from adapters.embedded.loopback import free_port
from tests.patience import END_S, START_S

LOCAL = "127.0.0.1"


class Mosquitto:
    """Any client may connect, unless `settings` say otherwise."""

    def __init__(self, program: Path, folder: Path, *settings: str) -> None:
        self.port = free_port()
        self._program = program
        self._file = folder / f"mosquitto-{self.port}.conf"
        self._log = folder / f"mosquitto-{self.port}.log"
        lines = settings or ("allow_anonymous true",)
        self._file.write_text(
            "\n".join(
                ("per_listener_settings false", f"listener {self.port} {LOCAL}", "user root", *lines, "")
            )
        )
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it listens. A restart uses the same port and has no earlier state."""
        with self._log.open("ab") as log:
            self._server = subprocess.Popen([self._program, "-c", self._file], stderr=log, stdout=log)
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex((LOCAL, self.port)) == 0:
                    return
            assert self._server.poll() is None, self._log.read_text()
            time.sleep(0.05)
        raise AssertionError("mosquitto did not start")

    def kill(self) -> None:
        """kill -9."""
        if self._server is not None:
            self._server.kill()
            self._server.wait(END_S)


@contextmanager
def mosquitto(program: Path, folder: Path, *settings: str) -> Iterator[int]:
    """Run a Mosquitto; yields its port."""
    server = Mosquitto(program, folder, *settings)
    try:
        server.start()
        yield server.port
    finally:
        server.kill()
