"""Setup of the API reads of the ingest benchmark: registered facilities, a key, and `gridproof serve`."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

from adapters.embedded.loopback import free_port
from interfaces.settings.settings import PREFIX, read_settings
from tests.bench.projections.setup import read_side
from tests.bench.webhook.setup import facility_entry, running_server

if TYPE_CHECKING:
    from interfaces.bootstrap.stores import Stores
    from tests.bench.ingest.setup import IngestSetup

_THREADS = 8


class ReadingApi(NamedTuple):
    """The address of the API on loopback and a token, which must not be logged."""

    port: int
    token: str


@contextmanager
def reading_api(setup: IngestSetup, stores: Stores, facility_ids: Iterable[str]) -> Iterator[ReadingApi]:
    """Start an API process without a cache on the database of `stage` and `stores`, for these facilities."""
    from application.access.api_keys import ID_BYTES, SECRET_BYTES, issue
    from application.command_bus.decision_context import CommandContext
    from application.commands.facility import RegisterFacility
    from projections.registry import PROJECTIONS

    context = CommandContext(
        correlation_id=uuid4(), causation_id=uuid4(), actor="bench", tenant=None, trace_id="0" * 32
    )

    def register(facility_id: str) -> None:
        stores.bus.handle(RegisterFacility(entry=facility_entry(facility_id, ())), context)

    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(register, facility_ids))
    entropy = secrets.token_bytes(SECRET_BYTES + ID_BYTES)
    key = issue(stores.api_keys(), role="dashboard", at=stores.clock.now(), entropy=entropy)
    database_url = setup.settings.database_url or ""
    with read_side(database_url) as side:
        for projection in PROJECTIONS:
            side.maintenance.rebuild(projection, workers=1)
    port = free_port()
    settings = read_settings(
        {
            f"{PREFIX}DATABASE_URL": database_url,
            f"{PREFIX}HTTP_BIND": f"127.0.0.1:{port}",
            f"{PREFIX}DATA_DIR": str(setup.folder / "api"),
            f"{PREFIX}LOG_LEVEL": "warning",
        }
    )
    argv = [sys.executable, "-m", "interfaces.cli", "serve"]
    with running_server(argv, f"http://127.0.0.1:{port}/health", settings):
        yield ReadingApi(port, key.token)
