"""Take an import back in a separate process, which kills itself with SIGKILL after its first part.

`take_back_process.py DSN IMPORT`: the first facility of the import is removed, and neither sealed nor finished.
"""

import os
import signal
import sys
from datetime import UTC, datetime
from uuid import UUID

from psycopg_pool import ConnectionPool

from adapters.postgres.operations.act_log import PostgresActLog
from adapters.postgres.telemetry.imported_history import PostgresImportedHistory
from application.history_import.taking_back import find_import, take_back
from domain.event_sourcing.aggregate import Provenance


def main(dsn: str, import_id: str) -> None:
    with ConnectionPool(dsn, min_size=1) as pool:
        imports = PostgresImportedHistory(pool)
        take_back(
            imports,
            PostgresActLog(pool),
            Provenance(
                correlation_id=UUID(int=1),
                causation_id=UUID(int=2),
                actor="operator:cli/killed",
                tenant=None,
                trace_id="0" * 32,
                recorded_at=datetime.now(UTC),
            ),
            find_import(imports, import_id),
            reason="killed in the middle",
            portfolio={"fac-001", "fac-002"},
            seal=lambda _span: os.kill(os.getpid(), signal.SIGKILL),
        )


main(*sys.argv[1:])
