"""The logins of the embedded nats-server: ours, the simulators', and one for each facility's meters.

A facility's login may publish the readings of that facility and nothing else. Such logins are created and revoked
while the server runs: it reloads its users (SIGHUP), and clients whose login still exists stay connected.

The server's files have bcrypt hashes of passwords. Those of facilities stand nowhere else.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from adapters.embedded.broker_users import BROKER_USERS, users_text
from adapters.embedded.data_folder import ServerState, write_private
from adapters.embedded.orphans import running_in
from application.ports.access.meter_logins import DrawnPassword, MeterLoginRefused
from domain.event_sourcing.decoders import json_decoder

USER, METERS = "gridproof", "meters"
USERS_FILE, LOGINS_FILE = "users.conf", "meter_logins.json"
PROGRAM = "nats-server"
_FACILITY_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_OURS = frozenset({USER, METERS})
_HASH_PREFIX, _HASH_COST = "$2a$", 4
"""The lowest cost, 1 ms at each login: passwords are drawn, 192 bits, so none can be guessed from its hash."""
_HASH = re.compile(rf"{re.escape(_HASH_PREFIX)}0{_HASH_COST}\$[./A-Za-z0-9]{{53}}")
"""What may stand in the server's file of users in place of a password."""
SERVER_USERS = (USER, METERS, *BROKER_USERS)
"""Those that are not a facility's."""

# $MQTT.* are subjects that the listener uses on behalf of a meter.
_USERS = """\
users: [
  {{ user: "gridproof", password: "{password}" }}
  # For simulators and load: readings of every facility, and nothing else.
  {{ user: "meters", password: "{meters_password}", permissions: {{
      publish: {{ allow: ["meters.>", "$MQTT.deliver.pubrel.>"] }}
      subscribe: {{ allow: ["$MQTT.sub.>"] }}
  }} }}
{workers}{facilities}]
"""
_FACILITY = """\
  {{ user: "{facility_id}", password: "{password}", allowed_connection_types: ["MQTT"], permissions: {{
      publish: {{ allow: ["meters.{facility_id}.*.readings", "$MQTT.deliver.pubrel.>"] }}
      subscribe: {{ allow: ["$MQTT.sub.>"] }}
  }} }}
"""


class NoEmbeddedBroker(LookupError):
    """No embedded nats-server was ever started in that data folder."""


def draw_password() -> DrawnPassword:
    password = secrets.token_urlsafe(24)
    return DrawnPassword(password, _hashed(password))


class MeterLogins:
    """The logins of the server in `data_dir`, which need not run. Raises NoEmbeddedBroker."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir.resolve() / "nats"
        self._servers = data_dir.resolve() / "servers.json"
        if not self._folder.is_dir() or not self._servers.is_file():
            raise NoEmbeddedBroker(f"no broker of `gridproof up` was ever started in {data_dir}")

    def facility_ids(self) -> list[str]:
        return sorted(logins_in(self._folder))

    def create(self, facility_id: str) -> str:
        """The password of the new login, whose user is the facility id. Raises MeterLoginRefused."""
        drawn = draw_password()
        self.add(facility_id, drawn.password_hash)
        return drawn.password

    def add(self, facility_id: str, password_hash: str) -> None:
        """A login with a password that was drawn elsewhere. Repeating it changes nothing. Raises MeterLoginRefused."""
        if not _FACILITY_ID.fullmatch(facility_id) or facility_id in _OURS:
            raise MeterLoginRefused(f"{facility_id!r} cannot be the user of a facility's meters")
        if not _HASH.fullmatch(password_hash):  # it would be read as part of the server's configuration
            raise MeterLoginRefused("what was given as the hash of a password is none")
        with _locked(self._folder):
            logins = logins_in(self._folder)
            if logins.get(facility_id) == password_hash:
                return
            if facility_id in logins:
                raise MeterLoginRefused(f"{facility_id} has a login already; revoke it for another password")
            self._put({**logins, facility_id: password_hash})

    def revoke(self, facility_id: str) -> None:
        """Revoke the login and disconnect its clients. Raises MeterLoginRefused."""
        with _locked(self._folder):
            logins = logins_in(self._folder)
            if logins.pop(facility_id, None) is None:
                raise MeterLoginRefused(f"{facility_id} has no login")
            self._put(logins)

    def mqtt_port(self) -> int | None:
        """The port on which the server listens, or listened when it last ran."""
        return self._state().ports.get("mqtt")

    def _put(self, logins: Mapping[str, str]) -> None:
        """The server first: what is stored last is known to be in force, so a change that failed can be repeated."""
        ours = self._state().passwords
        if ours.keys() >= set(SERVER_USERS):  # else it never ran, and writes them at its next start
            _write_users(self._folder, ours, logins)
            for pid in running_in(self._folder, PROGRAM):
                with suppress(ProcessLookupError):  # it ended meanwhile, and reads the file when it starts
                    os.kill(pid, signal.SIGHUP)
        _store(self._folder, logins)

    def _state(self) -> ServerState:
        return json_decoder(ServerState).decode(self._servers.read_bytes())


def logins_in(folder: Path) -> dict[str, str]:
    """Facility -> hash of its password, of the server in `folder`."""
    try:
        return json_decoder(dict[str, str]).decode((folder / LOGINS_FILE).read_bytes())
    except FileNotFoundError:
        return {}


def write_users(folder: Path, passwords: Mapping[str, str]) -> None:
    """Write the file of users that the server's configuration includes (mode 0600); `passwords` are those of
    SERVER_USERS."""
    with _locked(folder):
        _write_users(folder, passwords, logins_in(folder))


def _write_users(folder: Path, passwords: Mapping[str, str], logins: Mapping[str, str]) -> None:
    hashes = {user: _hashed(password) for user, password in passwords.items() if user in SERVER_USERS}
    facilities = "".join(
        _FACILITY.format(facility_id=facility_id, password=own) for facility_id, own in sorted(logins.items())
    )
    text = _USERS.format(
        password=hashes[USER],
        meters_password=hashes[METERS],
        workers=users_text(hashes),
        facilities=facilities,
    )
    write_private(folder / USERS_FILE, text.encode("utf-8"))


def _store(folder: Path, logins: Mapping[str, str]) -> None:
    write_private(folder / LOGINS_FILE, msgspec.json.encode(logins))


def _hashed(password: str) -> str:
    import bcrypt  # of the extra `embedded`

    salt = bcrypt.gensalt(_HASH_COST, prefix=_HASH_PREFIX.strip("$").encode())
    return bcrypt.hashpw(password.encode(), salt).decode()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    lock = os.open(folder / "meter_logins.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
