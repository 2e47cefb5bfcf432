"""The client id of our session at the embedded MQTT broker: drawn at random, once for each data folder.

nats-server lets any login take over any client id, and with a clean session discard what waits in it. So nobody but
ingest may know the id (ADR 0066).
"""

from __future__ import annotations

import secrets
from pathlib import Path

import msgspec

from adapters.embedded.data_folder import write_private
from domain.event_sourcing.decoders import json_decoder

FILE = "ingest_session.json"
_PREFIX = "gridproof-ingest"


class IngestSession(msgspec.Struct, frozen=True):
    """The content of the file, mode 0600."""

    client_id: str


def ingest_session(data_dir: Path) -> IngestSession:
    """The session of the data folder, drawn where it has none yet."""
    file = data_dir / FILE
    try:
        return json_decoder(IngestSession).decode(file.read_bytes())
    except FileNotFoundError:
        session = IngestSession(f"{_PREFIX}-{secrets.token_hex(16)}")
        write_private(file, msgspec.json.encode(session))
        return session
