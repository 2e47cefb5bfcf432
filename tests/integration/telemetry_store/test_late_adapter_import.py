"""A process reads telemetry over connections that it opened before it imported the array parameters."""

import subprocess
import sys

from tests.patience import START_S
from tests.servers import Database

PROGRAM = """
import sys
from adapters.postgres.connection.pool import PostgresPool

with PostgresPool(sys.argv[1], min_size=1, max_size=1) as pool:
    class Name(str):
        pass

    with pool.connection() as connection:
        # From the first subclass on, the client has a table of types for this connection alone.
        connection.execute("SELECT %s::text", (Name("x"),))
        assert "adapters.postgres.wire_format.array_parameters" not in sys.modules
    from datetime import UTC, datetime, timedelta
    from adapters.clock import SystemClock
    from adapters.postgres.telemetry.rollups.read import PostgresTelemetryRollups
    from adapters.postgres.telemetry.store import PostgresTelemetryStore
    from domain.telemetry.meter_reading import MeterReading
    from domain.time_series.windows import TimeWindow

    now, hour = datetime.now(UTC), datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    store = PostgresTelemetryStore(pool, SystemClock())
    store.write_readings(0, 1, [MeterReading("fac", "m1", now, 1.0, 2.0)])
    window = TimeWindow(hour, hour + timedelta(hours=1))
    print(PostgresTelemetryRollups(pool, SystemClock()).rollups("fac", window, 3600).columns.readings.sum())
"""


def test_a_connection_older_than_the_import_of_telemetry_can_read_it(database: Database) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, database.app_dsn],
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )
    assert (ran.stdout, ran.stderr, ran.returncode) == ("1\n", "", 0)
