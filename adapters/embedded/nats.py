"""nats-server as a child process: JetStream on file, MQTT listener, no monitoring.

Its monitoring port would tell every user of the machine who is connected, with which client id, to what (ADR 0066).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import msgspec

from adapters.embedded import binaries
from adapters.embedded.data_folder import DataFolder, write_private
from adapters.embedded.errors import ForeignServer
from adapters.embedded.launcher import EmbeddedServer
from adapters.embedded.loopback import HOST, ask, listens
from adapters.embedded.meter_logins import SERVER_USERS, USER, USERS_FILE, write_users
from adapters.embedded.mqtt_streams import MAX_PENDING_BYTES, WINDOW, bound_mqtt_streams, clear_sessions
from domain.event_sourcing.decoders import json_decoder

_CONFIGURATION = """\
server_name: "{server_name}"
host: "127.0.0.1"
port: {nats}
max_payload: 1MB
# max_pending: what may wait to be written to one client, else it is cut off (default 64 MB). Without room for
# max_ack_pending of the largest messages, large messages of meters would cut ingest off again and again.
max_pending: {max_pending}
# A power cut loses what was acknowledged within sync_interval (default 2 minutes). `always` loses nothing, and leaves a
# tenth of the readings a second, since it syncs once for each message of a meter too.
# max_file_store: the sum of the bounds of all streams. By default it is three quarters of what is free at the start, so
# that on a small disk the streams of the workers were refused. Here each stream has its bound.
jetstream {{ store_dir: "{store}", sync_interval: "200ms", max_file_store: {max_store} }}
# ack_wait: a message that was not acknowledged is sent again after it, also after a reconnect (default 30 s).
# max_ack_pending: so many may be under way to ingest, which acknowledges them in packs (default 1,024).
mqtt {{ host: "127.0.0.1", port: {mqtt}, ack_wait: "2s", max_ack_pending: {window},
    reject_qos2_publish: true }}
authorization {{ include "{users}" }}
"""
LEAST_STORE_BYTES = 8 << 30
"""More than the streams of MQTT and of the workers have together, at their default sizes."""
_JETSTREAM_READY = b"account_info_response"
_ANSWERED = (_JETSTREAM_READY, b"NATS/1.0 503", b"-ERR")


class _Info(msgspec.Struct):
    """The greeting of the server to each connection before a login."""

    server_name: str = ""
    jetstream: bool = False


class EmbeddedNats(EmbeddedServer):
    """A nats-server with one account. Its users are `gridproof` (everything), one for each kind of worker
    (adapters.embedded.broker_users), `meters` (readings of every facility, for simulators) and one for each facility
    with a login (adapters.embedded.meter_logins)."""

    name = "nats"
    port_names = ("nats", "mqtt")

    def __init__(
        self,
        data: DataFolder,
        *,
        program: Path | None = None,
        fixed_ports: Mapping[str, int] | None = None,
        start_deadline_s: float = 60.0,
    ) -> None:
        super().__init__(data, fixed_ports=fixed_ports, start_deadline_s=start_deadline_s)
        self._program = binaries.nats_server(program)
        self._folder = data.folder("nats")

    def program(self) -> Path:
        return self._program

    def working_folder(self) -> Path:
        return self._folder

    def url(self, scheme: str, port_name: str, user: str = USER) -> str:
        """A URL with the password in it: not for logs."""
        return f"{scheme}://{user}:{self.data.password(user)}@{HOST}:{self.ports[port_name]}"

    def prepare(self) -> None:
        self.data.folder("nats").joinpath("jetstream").mkdir(exist_ok=True)

    def command(self) -> list[str]:
        file = self._folder / "nats.conf"
        write_users(self._folder, {user: self.data.password(user) for user in SERVER_USERS})
        text = _CONFIGURATION.format(
            server_name=self.data.identity,
            store=self._folder / "jetstream",
            max_store=max(LEAST_STORE_BYTES, shutil.disk_usage(self._folder).total),
            users=USERS_FILE,
            window=WINDOW,
            max_pending=MAX_PENDING_BYTES,
            **self.ports,
        )
        write_private(file, text.encode("utf-8"))
        return [str(self._program), "-c", str(file)]

    def answers(self) -> bool:
        """Ready where JetStream answers a request, and MQTT listens; ours where its greeting has our server_name."""
        answer = ask(self.ports["nats"], self._login_and_request(), until=_ANSWERED)
        if not answer:
            return False
        try:
            info = json_decoder(_Info).decode(answer.partition(b"\r\n")[0].removeprefix(b"INFO "))
        except msgspec.DecodeError:
            info = _Info("not a nats-server")
        if info.server_name != self.data.identity:
            raise ForeignServer(
                self.name,
                f"port {self.ports['nats']} answers as {info.server_name!r}, not as {self.data.identity!r}",
                advice="End that server, or start again to get another port.",
                log_tail=self.log_tail(),
            )
        return info.jetstream and _JETSTREAM_READY in answer and listens(self.ports["mqtt"])

    def after_start(self) -> None:
        bound_mqtt_streams(
            nats_port=self.ports["nats"],
            mqtt_port=self.ports["mqtt"],
            user=USER,
            password=self.data.password(USER),
            free_disk_bytes=shutil.disk_usage(self._folder).free,
        )

    def tend(self) -> None:
        clear_sessions(nats_port=self.ports["nats"], user=USER, password=self.data.password(USER))

    def _login_and_request(self) -> bytes:
        """A login, and a request to JetStream: without JetStream the server says at once that nobody responds."""
        login = {"user": USER, "pass": self.data.password(USER), "verbose": False, "headers": True}
        login["no_responders"] = True
        return (
            b"CONNECT %s\r\nSUB _INBOX.ready 1\r\nPUB $JS.API.INFO _INBOX.ready 0\r\n\r\n"
            % msgspec.json.encode(login)
        )
