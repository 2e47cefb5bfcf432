"""Valkey (or Redis) as a child process: a user for each kind of worker, append-only file, bounded memory."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType

from adapters.embedded import binaries
from adapters.embedded.data_folder import DataFolder, write_private
from adapters.embedded.errors import ForeignServer, ServerExited
from adapters.embedded.launcher import EmbeddedServer
from adapters.embedded.loopback import HOST, ask
from application.operations.process_kinds import KINDS, CacheUse

USER = "valkey"
_log = logging.getLogger(__name__)
_EVERYTHING = "~* &* +@all"
_KEYS: Mapping[CacheUse, str] = MappingProxyType(
    {
        "everything": "~*",
        "answers": "~gridproof:answers:* ~gridproof:*:answers:*",
        "weather quota": "~gridproof:weather-quota* ~gridproof:*:weather-quota",
    }
)
"""What a worker uses -> the keys, without and with the prefix of a system. None may administer the server."""
_COMMANDS = "resetchannels +@all -@admin -@dangerous"

_CONFIGURATION = """\
bind 127.0.0.1
port {port}
protected-mode yes
{users}
dir "{folder}"
daemonize no
appendonly yes
appendfsync everysec
save ""
maxmemory 256mb
maxmemory-policy allkeys-lru
"""


def cache_user(worker: str) -> str:
    return f"cache.{worker}"


class EmbeddedValkey(EmbeddedServer):
    """A cache. Nothing depends on it for correctness, so a file that a power cut has damaged is put aside; else its
    content survives a restart."""

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

    def start(self) -> None:
        try:
            super().start()
        except ServerExited as failure:
            files, aside = self._folder / "appendonlydir", self._folder / "appendonlydir.damaged"
            if not files.exists():
                raise
            _log.warning("%s; it begins without its files, which are in %s", failure, aside)
            shutil.rmtree(aside, ignore_errors=True)
            files.rename(aside)
            super().start()

    def program(self) -> Path:
        return self._program

    def working_folder(self) -> Path:
        return self._folder

    @property
    def url(self) -> str:
        """A URL with the password in it: not for logs."""
        return f"redis://:{self.data.password(USER)}@{HOST}:{self.ports['valkey']}/0"

    def worker_url(self, worker: str) -> str:
        """The same for a kind of worker: a user with the keys that it works with."""
        user = cache_user(worker)
        return f"redis://{user}:{self.data.password(user)}@{HOST}:{self.ports['valkey']}/0"

    def prepare(self) -> None:
        return

    def _users(self) -> str:
        """The users of the configuration; it has digests, so that no password stands in it."""
        rights = {"default": (USER, _EVERYTHING)}
        for kind in KINDS:
            if kind.cache:
                user, keys = cache_user(kind.name), " ".join(_KEYS[use] for use in sorted(kind.cache))
                rights[user] = (user, f"{keys} {_COMMANDS}")
        return "\n".join(
            f"user {name} on #{sha256(self.data.password(login).encode()).hexdigest()} {allowed}"
            for name, (login, allowed) in rights.items()
        )

    def command(self) -> list[str]:
        file = self._folder / "valkey.conf"
        text = _CONFIGURATION.format(port=self.ports["valkey"], users=self._users(), folder=self._folder)
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
