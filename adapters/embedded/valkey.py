"""Valkey (or Redis) as a child process: password, append-only file, bounded memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from adapters.embedded import binaries
from adapters.embedded.data_folder import DataFolder, write_private
from adapters.embedded.errors import ForeignServer
from adapters.embedded.launcher import EmbeddedServer
from adapters.embedded.loopback import HOST, ask

USER = "valkey"

_CONFIGURATION = """\
bind 127.0.0.1
port {port}
protected-mode yes
requirepass {password}
dir "{folder}"
daemonize no
appendonly yes
appendfsync everysec
save ""
maxmemory 256mb
maxmemory-policy allkeys-lru
"""


class EmbeddedValkey(EmbeddedServer):
    """A cache. Nothing depends on it for correctness, but its content survives a restart."""

    name = "valkey"
    port_names = ("valkey",)

    def __init__(
        self,
        data: DataFolder,
        *,
        program: Path | None = None,
        fixed_ports: Mapping[str, int] | None = None,
        start_deadline_s: float = 60.0,
    ) -> None:
        super().__init__(data, fixed_ports=fixed_ports, start_deadline_s=start_deadline_s)
        self._program = binaries.valkey_server(program)
        self._folder = data.folder("valkey")

    def program(self) -> Path:
        return self._program

    def working_folder(self) -> Path:
        return self._folder

    @property
    def url(self) -> str:
        """A URL with the password in it: not for logs."""
        return f"redis://:{self.data.password(USER)}@{HOST}:{self.ports['valkey']}/0"

    def prepare(self) -> None:
        return

    def command(self) -> list[str]:
        file = self._folder / "valkey.conf"
        text = _CONFIGURATION.format(
            port=self.ports["valkey"], password=self.data.password(USER), folder=self._folder
        )
        write_private(file, text.encode("utf-8"))
        return [str(self._program), str(file)]

    def answers(self) -> bool:
        """Ready where it serves commands; ours where it reports our process id."""
        password = self.data.password(USER)
        request = f"AUTH {password}\r\nINFO server\r\nPING\r\nQUIT\r\n".encode("ascii")
        answer = ask(self.ports["valkey"], request)
        if not answer or b"-LOADING" in answer:
            return False
        pid = self.pid
        if pid is None or f"process_id:{pid}\r\n".encode("ascii") not in answer:
            raise ForeignServer(
                self.name,
                f"another program answers on port {self.ports['valkey']}",
                advice="End that server, or start again to get another port.",
                log_tail=self.log_tail(),
            )
        return True
