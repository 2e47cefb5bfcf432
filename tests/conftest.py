"""Fixtures of all tests."""

import gc
import math
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterator
from operator import itemgetter
from pathlib import Path

import pytest
from hypothesis import settings

from adapters.embedded import EmbeddedServers
from adapters.redis import rate_limit, shared_cache, weather_quota
from interfaces.gc_tuning import collect_garbage_seldom
from tests import servers
from tests.debian_packages import debian_command_path
from tests.influxdb_server import InfluxServer, influxdb_server
from tests.patience import ANSWER_S
from tests.servers import Database, PostgresServer
from tests.sizes import IN_SMALL, examples

DebianCommand = Callable[[str], Path]

# Deadlines for single examples would be timing assertions. CI draws the same examples every time.
settings.register_profile("dev", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.register_profile("small", deadline=None, derandomize=True, max_examples=examples(100))
settings.load_profile("small" if IN_SMALL else "ci" if os.environ.get("CI") else "dev")


LONG = (
    "tests/hosts",
    "tests/chaos",
    "tests/acceptance",
    "tests/browser",
    "tests/integration",
    "tests/property/simulation",
)
"""Rooms of tests that take long."""
WHOLE_SYSTEMS = (
    "tests/acceptance/system",
    "tests/acceptance/bench/test_capacity.py",
    "tests/browser/test_running_demo.py",
    "tests/chaos/test_killed",
    "tests/integration/workers/test_connection_budget.py",
)
"""Tests that take a place for a whole system (tests/patience.py)."""
SLOWEST_FILES = 30


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Importing makes objects that stay: collections of garbage would look at all of them again and find none."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of long tests first, then files of many tests: no process runs a long test while the others have ended.
    Among the long ones whole systems are spread evenly: next to each other they would wait for a place."""
    sizes = Counter(item.path for item in items)
    items.sort(key=lambda item: (not item.nodeid.startswith(LONG), -sizes[item.path]))
    long = {item.path: item.nodeid for item in items if item.nodeid.startswith(LONG)}
    systems = [path for path, test in long.items() if test.startswith(WHOLE_SYSTEMS)]
    others = [path for path in long if path not in set(systems)]
    places = {path: float(n) for n, path in enumerate(others)}
    places |= {path: n * len(others) / len(systems) for n, path in enumerate(systems)}
    items.sort(key=lambda item: places.get(item.path, math.inf))


@pytest.fixture(scope="session")
def debian_command() -> DebianCommand:
    """`debian_command("mosquitto")` is the path of a command out of a Debian package; without it the test skips.

    With GRIDPROOF_REQUIRE_DEBIAN=1, as in CI, it fails instead.
    """
    return lambda command: debian_command_path(command, os.environ)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL for the whole session; a test that kills it starts it again."""
    with servers.postgres_server() as server:
        yield server


@pytest.fixture
def database(postgres_server: PostgresServer) -> Iterator[Database]:
    """A migrated database of this test's own: `app_dsn`, `owner_dsn`, `admin_dsn`."""
    with servers.fresh_database(postgres_server) as fresh:
        yield fresh


@pytest.fixture
def empty_database(postgres_server: PostgresServer) -> Iterator[Database]:
    """The same without migrations."""
    with servers.fresh_database(postgres_server, migrated=False) as fresh:
        yield fresh


@pytest.fixture(scope="session")
def nats_server() -> Iterator[EmbeddedServers]:
    """One nats-server for the whole session: `nats_url`, `mqtt_url`, `meters_mqtt_url`."""
    with servers.nats_server() as running:
        yield running


@pytest.fixture
def nats_url(nats_server: EmbeddedServers) -> str:
    """Streams outlive a test: name them after it."""
    return nats_server.nats_url


@pytest.fixture(scope="session")
def influxd(debian_command: DebianCommand) -> Iterator[InfluxServer]:
    """One InfluxDB for the whole session; a test uses its own database (`fresh_name`)."""
    with influxdb_server(debian_command("influxd")) as running:
        yield running


@pytest.fixture(scope="session", autouse=True)
def patient_caches() -> Iterator[None]:
    """A cache has as long as any server for its answer. A test in which it hangs sets a short time itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared_cache, "ANSWER_WITHIN_S", ANSWER_S)
        patch.setattr(weather_quota, "ANSWER_WITHIN_S", ANSWER_S)
        patch.setattr(rate_limit, "CACHE_TIMEOUT_S", ANSWER_S)
        yield


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[EmbeddedServers]:
    """One Valkey for the whole session: `redis_url`. Keys outlive a test."""
    with servers.valkey_server() as running:
        yield running


def pytest_collection_finish() -> None:
    """Collect garbage as the workers do, seldom, and never among the collected tests, which stay until the end."""
    gc.collect()
    gc.freeze()
    collect_garbage_seldom()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the files that took longest, with their seconds: files are what the processes share out."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[report.location[0]] += report.duration
    terminalreporter.section(f"slowest {min(SLOWEST_FILES, len(seconds))} files")
    for file, taken_s in sorted(seconds.items(), key=itemgetter(1), reverse=True)[:SLOWEST_FILES]:
        terminalreporter.write_line(f"{taken_s:8.1f} s  {file}")
