"""What answers at the address of `gridproof up`: our system, one that starts, another system, or another program."""

import json
from pathlib import Path

import pytest

from interfaces.bootstrap import ask_web
from interfaces.settings.settings import Settings
from interfaces.system import running_system
from interfaces.system.running_system import NotReady, RunningSystem
from tests.http_answers import answering

OURS, READY = "9c41d0e7b2fa", {"status": "ready", "dependencies": []}


def document(**more: str) -> bytes:
    return json.dumps(READY | more).encode()


@pytest.mark.parametrize(
    ("status", "body", "is_ready", "is_foreign"),
    [
        (200, document(system=OURS), True, False),
        (503, document(system=OURS), False, False),
        (503, b'{"status": "starting", "waiting_for": "postgresql"}', False, False),
        (200, document(system="0123456789ab"), False, True),
        (503, document(system="0123456789ab"), False, True),
        (200, document(), False, True),
        (404, b"<h1>File not found</h1>", False, True),
        (200, b'["a list"]', False, True),
    ],
)
def test_only_a_process_of_the_system_is_taken_for_it(
    status: int, body: bytes, is_ready: bool, is_foreign: bool
) -> None:
    with answering(status, body) as address:
        answer = ask_web(f"http://{address}", within_s=30)

    assert (answer.is_ready(OURS), answer.is_foreign(OURS)) == (is_ready, is_foreign)


def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with answering(200, document(system=OURS)) as address:
        assert ask_web(f"http://{address}", within_s=30).is_ready(OURS)


def test_up_does_not_report_ready_for_another_system(tmp_path: Path) -> None:
    with answering(200, document(system="0123456789ab")) as address:
        system = RunningSystem(Settings(data_dir=tmp_path, http_bind=address))
        with pytest.raises(
            NotReady, match=f"something else answers at http://{address}.*GRIDPROOF_HTTP_BIND"
        ):
            system.wait_until_ready()


def test_up_waits_for_its_own_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running_system, "READY_WITHIN_S", 0.3)
    with answering(503, b'{"status": "starting", "waiting_for": "postgresql"}') as address:
        system = RunningSystem(Settings(data_dir=tmp_path, http_bind=address))
        with pytest.raises(NotReady, match="did not answer"):
            system.wait_until_ready()
