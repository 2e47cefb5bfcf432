"""L6: the files of the embedded nats-server have bcrypt hashes, and no password of a facility stands anywhere."""

from __future__ import annotations

import re

import msgspec

from adapters.embedded import EmbeddedServers
from adapters.embedded.data_folder import ServerState
from adapters.embedded.meter_logins import (
    SERVER_USERS,
    MeterLogins,
)

HASH = re.compile(r'password"?: "(\$2a\$04\$[./A-Za-z0-9]{53})"')


def test_the_brokers_files_have_hashes_and_no_password(nats_server: EmbeddedServers) -> None:
    folder, logins = nats_server.data_dir / "nats", MeterLogins(nats_server.data_dir)
    drawn = logins.create("fac-pw")
    try:
        state = (nats_server.data_dir / "servers.json").read_bytes()
        passwords = msgspec.json.decode(state, type=ServerState).passwords
        written = "".join(file.read_text() for file in folder.iterdir() if file.is_file())
        assert len(HASH.findall(written)) == len(SERVER_USERS) + len(logins.facility_ids())
        assert [one for one in (drawn, *passwords.values()) if one in written] == []
        assert drawn not in state.decode()
        log = nats_server.data_dir / "logs" / "nats.log"
        assert "Plaintext passwords detected" not in log.read_text()
    finally:
        logins.revoke("fac-pw")
