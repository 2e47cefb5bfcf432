"""The client id of our session at the embedded MQTT broker: drawn at random, once for each data folder.

nats-server lets any login take over any client id, and with a clean session discard what waits in it. So nobody but
ingest may know the id (ADR 0066). It has a file of its own: an older release would drop a field of servers.json that it
does not know, and the drawn session would then be forgotten with readings in it.
"""

from __future__ import annotations

import secrets
from pathlib import Path

import msgspec

from adapters.embedded.data_folder import write_private
from domain.event_sourcing.decoders import json_decoder

FILE = "ingest_session.json"
FORMER_CLIENT_ID = "gridproof-ingest"
"""Of every data folder of releases before, and documented."""


class IngestSession(msgspec.Struct, frozen=True):
    """The content of the file, mode 0600."""

    client_id: str
    former: str | None = None
    """The session of an earlier release, until it is drained and deleted."""


def ingest_session(data_dir: Path) -> IngestSession:
    """The session of the data folder, drawn where it has none yet. Call it before nats-server starts: a folder in which
    one ran before has the former session."""
    file = data_dir / FILE
    try:
        return json_decoder(IngestSession).decode(file.read_bytes())
    except FileNotFoundError:
        used = (data_dir / "nats" / "jetstream").exists()
        session = IngestSession(
            f"{FORMER_CLIENT_ID}-{secrets.token_hex(16)}", FORMER_CLIENT_ID if used else None
        )
        write_private(file, msgspec.json.encode(session))
        return session


def forget_former_session(data_dir: Path) -> IngestSession:
    """Note that the former session is drained and deleted."""
    session = msgspec.structs.replace(ingest_session(data_dir), former=None)
    write_private(data_dir / FILE, msgspec.json.encode(session))
    return session
