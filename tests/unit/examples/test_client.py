"""docs/examples/client.py signs as the webhook checks, and takes only callbacks that are genuine."""

import importlib.util
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import pytest

from application.access.signature import SignedRequest, request_signature, sign_body
from tests.patience import ANSWER_S

ROOT = Path(__file__).resolve().parents[3]
SECRET, BODY = b"a secret", b'{"callback_id": "c-1", "kind": "accepted"}'


@pytest.fixture
def client() -> ModuleType:
    spec = importlib.util.spec_from_file_location("example_client", ROOT / "docs/examples/client.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("key", ["", "k-1"])
def test_its_signature_is_the_one_that_the_webhook_checks(client: ModuleType, key: str) -> None:
    target = "/webhooks/utility/dr-notification/UTIL%2F1?reason=storm"
    header = client.signature(SECRET, "DELETE", target, BODY, key)
    request = SignedRequest("DELETE", target.encode(), key.encode(), BODY)
    request_signature(header, request, secret=SECRET)


def test_a_callback_is_genuine_if_it_is_signed_with_the_secret_and_not_old(client: ModuleType) -> None:
    now = datetime.now(UTC)
    header = sign_body(SECRET, BODY, at=now)
    assert client.is_genuine(SECRET, header, BODY)
    assert not client.is_genuine(b"another", header, BODY)
    assert not client.is_genuine(SECRET, header, BODY + b" ")
    assert not client.is_genuine(SECRET, sign_body(SECRET, BODY, at=now - timedelta(minutes=6)), BODY)
    for nonsense in ("", "t=,v1=", "t=1", "v1=00,t=x", header.replace("v1=", "v1=é")):
        assert not client.is_genuine(SECRET, nonsense, BODY)


@contextmanager
def receiver(client: ModuleType) -> Iterator[str]:
    client.Receiver.secret = SECRET
    with ThreadingHTTPServer(("127.0.0.1", 0), client.Receiver) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/callbacks"
        finally:
            server.shutdown()
            thread.join()


def answer_to(url: str, header: str) -> int:
    headers = {"X-Signature": header, "X-Callback-Id": "c-1", "X-Ledger-Checkpoint": "7:00"}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, BODY, headers), timeout=ANSWER_S) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_the_receiver_prints_a_genuine_callback_once(
    client: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with receiver(client) as url:
        genuine = sign_body(SECRET, BODY, at=datetime.now(UTC))
        assert answer_to(url, sign_body(b"another", BODY, at=datetime.now(UTC))) == 401
        assert [answer_to(url, genuine) for _ in range(2)] == [200, 200]
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {"checkpoint": "7:00", "callback_id": "c-1", "kind": "accepted"}


def test_a_dr_event_that_was_cancelled_reaches_no_further_state(client: ModuleType) -> None:
    row = {"status": "recovering", "settlement_status": "none"}
    assert client.has_reached(row, "active")
    assert not client.has_reached(row, "completed")
    assert not client.has_reached(row, "settled")
    with pytest.raises(client.Ended):
        client.has_reached(row | {"status": "cancelled"}, "active")
