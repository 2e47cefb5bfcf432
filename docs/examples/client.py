"""A utility's side of Gridproof in one file, with the standard library only: copy it, and change what you need.

    python3 client.py notify UTIL-1 --facility fac-001 --starts-at 2026-07-14T21:00:00Z --minutes 30 --kw 25
    python3 client.py status DR_EVENT_ID --until settled
    python3 client.py cancel UTIL-1 --reason storm
    python3 client.py receive --port 8083

The address and the keys are options; --help names them. docs/guides/utility.md describes the API.
"""

import argparse
import hashlib
import hmac
import json
import os
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote, urlencode

WEBHOOK = "/webhooks/utility/dr-notification"
TIMEOUT_S = 30
TOLERANCE_S = 300
"""How far the time of a signature may be from ours."""
STATES = ("accepted", "scheduled", "preparing", "active", "recovering", "completed")
"""Of a DR event that runs its course, in their order."""


def now() -> float:
    """Unix time. A trial system may have a clock of its own: `gridproof init --speed` puts it into the environment."""
    speed = float(os.environ.get("GRIDPROOF_CLOCK_SPEED", "0"))
    if not speed:
        return time.time()
    epoch, started_at = (
        datetime.fromisoformat(os.environ[f"GRIDPROOF_CLOCK_{name}"]).timestamp()
        for name in ("EPOCH", "STARTED_AT")
    )
    return epoch + (time.time() - started_at) * speed


def wall_seconds(seconds: float) -> float:
    """How long that takes by the machine's clock."""
    return seconds / float(os.environ.get("GRIDPROOF_CLOCK_SPEED", "1"))


class Refused(Exception):
    """The answer was no 2xx: `status`, and the problem document with its reasons."""

    def __init__(self, status: int, problem: dict) -> None:
        super().__init__(
            f"{status} {problem.get('title')}: {problem.get('detail')} {problem.get('reasons', '')}"
        )
        self.status, self.problem = status, problem


class Ended(Exception):
    """The DR event never gets to the state that was waited for."""


def has_reached(row: dict, state: str) -> bool:
    if row["status"] not in STATES:
        raise Ended(f"the DR event is {row['status']}")
    if state in STATES:
        return row["status"] in STATES[STATES.index(state) :]
    return row["settlement_status"] == state


class Client:
    """Calls with the key of a utility. POST, PATCH and DELETE are signed if there is a secret."""

    def __init__(self, url: str, key: str, secret: bytes | None = None) -> None:
        self._url, self._key, self._secret = url.rstrip("/"), key, secret

    def notify(self, notification: dict) -> dict:
        """Request a DR event. The same notification again gets the same answer. Raises Refused or OSError."""
        return self._call("POST", WEBHOOK, notification)

    def cancel(self, event_id: str, reason: str) -> dict:
        target = f"{WEBHOOK}/{quote(event_id, safe='')}?{urlencode({'reason': reason})}"
        return self._call("DELETE", target)

    def dr_event(self, dr_event_id: str) -> dict:
        return self._call("GET", f"/api/dr-events/{quote(dr_event_id, safe='')}")

    def wait_until(self, dr_event_id: str, state: str, *, every_s: float = 30.0) -> dict:
        """Poll until it is in that state or beyond it; `settled` and the like are of its `settlement_status`.

        Raises Ended if it is cancelled or rejected.
        """
        while True:
            try:
                row = self.dr_event(dr_event_id)
                if has_reached(row, state):
                    return row
            except Refused as refused:
                if refused.status not in (404, 429, 503):  # 404: the list is a moment behind the answer
                    raise
            time.sleep(every_s)

    def _call(self, method: str, target: str, document: dict | None = None) -> dict:
        body = b"" if document is None else json.dumps(document).encode()
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        if self._secret is not None and method != "GET":
            headers["X-Signature"] = signature(self._secret, method, target, body)
        request = urllib.request.Request(
            self._url + target, data=body or None, headers=headers, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            try:
                problem = json.load(error)
            except ValueError:
                problem = {"title": error.reason}
            raise Refused(error.code, problem) from error


def signature(secret: bytes, method: str, target: str, body: bytes, idempotency_key: str = "") -> str:
    """X-Signature of one call: the path and query as they are sent, and the header Idempotency-Key if there is one."""
    signed_at = int(now())
    message = f"{signed_at}.{method}.{target}.{idempotency_key}.{hashlib.sha256(body).hexdigest()}"
    return f"t={signed_at},v2={hmac.new(secret, message.encode(), hashlib.sha256).hexdigest()}"


def is_genuine(secret: bytes, header: str, body: bytes) -> bool:
    """Whether a callback is signed with the secret, and not long ago."""
    try:
        given = dict(part.split("=", 1) for part in header.split(","))
        signed_at, mac = int(given["t"]), given["v1"]
    except (ValueError, KeyError):
        return False
    expected = hmac.new(secret, f"{signed_at}.".encode() + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), mac.encode()) and abs(now() - signed_at) <= TOLERANCE_S


class Receiver(BaseHTTPRequestHandler):
    """Takes callbacks: prints each once, as one line of JSON. One that comes again is answered and not printed."""

    secret = b""
    seen: ClassVar[set[str]] = set()
    """Yours belongs in a database, in the same transaction as what you do with the callback."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not is_genuine(self.secret, self.headers.get("X-Signature", ""), body):
            self._answer(401)
            return
        callback_id = self.headers.get("X-Callback-Id", "")
        if callback_id not in self.seen:
            self.seen.add(callback_id)
            # The checkpoint makes you a witness of our ledger: keep it (docs/guides/callbacks.md).
            checkpoint = self.headers.get("X-Ledger-Checkpoint")
            print(json.dumps({"checkpoint": checkpoint, **json.loads(body)}), flush=True)
        self._answer(200)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """No line for each call."""


def notification_of(given: argparse.Namespace) -> dict:
    starts_at = datetime.fromisoformat(given.starts_at).astimezone(UTC)
    ends_at = starts_at + timedelta(minutes=given.minutes)
    return {
        "notification_id": given.notification_id or f"{given.event_id}-0",
        "event_id": given.event_id,
        "program": given.program,
        "starts_at": starts_at.isoformat(),
        "ends_at": ends_at.isoformat(),
        "target_reduction_kw": given.kw,
        "facility_ids": given.facility,
    } | ({"callback_url": given.callback_url} if given.callback_url else {})


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--key-file", type=Path, help="the API key")
    parser.add_argument("--secret-file", type=Path, help="signs the calls; for receive: of the callbacks")
    commands = parser.add_subparsers(dest="command", required=True)
    notify = commands.add_parser("notify", help="request a DR event")
    notify.add_argument("event_id")
    notify.add_argument("--notification-id")
    notify.add_argument("--program", default="summer-peak")
    notify.add_argument("--facility", action="append", required=True, help="may be repeated")
    notify.add_argument("--starts-at", required=True, help="ISO 8601 with offset")
    notify.add_argument("--minutes", type=int, default=30)
    notify.add_argument("--kw", type=float, required=True)
    notify.add_argument("--callback-url")
    status = commands.add_parser("status", help="how a DR event stands")
    status.add_argument("dr_event_id")
    status.add_argument("--until", help="wait for that state first: active, completed, settled, ...")
    cancel = commands.add_parser("cancel", help="cancel a DR event")
    cancel.add_argument("event_id")
    cancel.add_argument("--reason", default="")
    receive = commands.add_parser("receive", help="take callbacks until Ctrl-C")
    receive.add_argument("--port", type=int, default=8083)
    return parser.parse_args()


def main() -> None:
    given = arguments()
    secret = given.secret_file.read_text().strip().encode() if given.secret_file else None
    if given.command == "receive":
        if secret is None:
            sys.exit(
                "give --secret-file before `receive`: a callback without a checked signature may be anybody's"
            )
        Receiver.secret = secret
        ThreadingHTTPServer(("127.0.0.1", given.port), Receiver).serve_forever()
    if given.key_file is None:
        sys.exit("give --key-file before the command")
    client = Client(given.url, given.key_file.read_text().strip(), secret)
    try:
        if given.command == "notify":
            answer = client.notify(notification_of(given))
        elif given.command == "cancel":
            answer = client.cancel(given.event_id, given.reason)
        elif given.until:
            answer = client.wait_until(given.dr_event_id, given.until, every_s=wall_seconds(30.0))
        else:
            answer = client.dr_event(given.dr_event_id)
    except (Refused, Ended, OSError) as error:
        sys.exit(str(error))
    print(json.dumps(answer, indent=2))


if __name__ == "__main__":
    main()
