"""Cases of settings that the demo does not have: another process of a worker has them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import redis

from interfaces.bootstrap.servers import cache_namespace
from tests.gameday.drill import Drill
from tests.gameday.extra_process import ON_OTHER_MACHINE, OTHER_MACHINE, beside, in_place_of
from tests.gameday.registry import case
from tests.tls_certificates import Authority

LASTS = timedelta(days=60)
SOON = timedelta(days=3)
DISK_BYTES = 8 << 20
NOT_USED = "smtp://alerts@127.0.0.1:1"
"""Without a recipient no mail is sent."""


@case("refuse_alert_messages", "alert_undeliverable", round=2)
def refuse_alert_messages(drill: Drill) -> None:
    """Nothing listens where alerts are posted."""
    with _receiver_of_alerts() as (port, listen):
        settings = {
            "ALERT_WEBHOOK_URL": f"http://127.0.0.1:{port}/alerts",
            "ALERT_WEBHOOK_SECRET": "env:GAME_DAY_SECRET",
            "ALERT_LEAST_SEVERITY": "warning",
        }
        with beside(drill, "watch", settings, environ={"GAME_DAY_SECRET": "a game day"}):
            undeliverable = drill.fires("alert_undeliverable", "webhook")
            drill.look_at("alert_undeliverable")
            drill.undo(listen)
            drill.ends(undeliverable)


class _Accepted(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", "0")))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


@contextmanager
def _receiver_of_alerts() -> Iterator[tuple[int, Callable[[], None]]]:
    """Its port, which refuses connections until the function was called."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Accepted, bind_and_activate=False) as server:
        server.server_bind()
        thread = Thread(target=server.serve_forever, name="receiver of alerts")

        def listen() -> None:
            server.server_activate()
            thread.start()

        try:
            yield server.server_address[1], listen
        finally:
            if thread.is_alive():
                server.shutdown()
                thread.join()


@case("present_old_certificate", "certificate_expiring", round=2)
def present_old_certificate(drill: Drill) -> None:
    folder = drill.demo.folder / "certificates"
    folder.mkdir()
    files = Authority(folder).server(valid_for=SOON)
    settings = {
        "ALERT_SMTP_URL": NOT_USED,
        "ALERT_EMAIL_FROM": "alerts@example.test",
        "ALERT_SMTP_CA_FILE": str(files.certificate),
    }
    with beside(drill, "watch", settings):
        expiring = drill.fires("certificate_expiring", "alert_smtp_ca_file")
        drill.look_at("certificate_expiring")
    Authority(folder).server(valid_for=LASTS)  # into the same file
    drill.undo()
    with beside(drill, "watch", settings):  # it was restarted, as the runbook says
        drill.ends(expiring)


@case("use_up_weather_quota", "weather_quota", round=4)
def use_up_weather_quota(drill: Drill) -> None:
    cache = redis.Redis.from_url(drill.address("REDIS_URL"))
    key = f"{cache_namespace(drill.stores.settings, drill.stores.pool)}:weather-quota"
    now = drill.demo.clock.now()
    contract = {"WEATHER_KEY": "env:GAME_DAY_KEY", "WEATHER_QUOTA_PER_MONTH": "1000"}
    environ = {"GAME_DAY_KEY": "simulated"}
    try:
        cache.hset(key, mapping={"month": f"{now:%Y-%m}", "used": "900"})
        with in_place_of(drill, "compute", contract, environ=environ):
            used_up = drill.fires("weather_quota")
            drill.look_at("weather_quota")
        drill.undo()  # the contract is extended
        with in_place_of(drill, "compute", contract | {"WEATHER_QUOTA_PER_MONTH": "2000"}, environ=environ):
            drill.ends(used_up)
    finally:
        cache.delete(key)
        cache.close()


@case("fill_disk", "disk_filling", round=2)
def fill_disk(drill: Drill) -> None:
    """A worker's data folder is on a small disk of its own."""
    with _small_disk(drill.demo.folder / "small-disk") as disk:
        rubbish = disk / "rubbish"
        rubbish.write_bytes(bytes(DISK_BYTES * 9 // 10))
        with beside(drill, "watch", {"DATA_DIR": str(disk)}, program=ON_OTHER_MACHINE):
            filling = drill.fires("disk_filling", OTHER_MACHINE)
            drill.look_at("disk_filling")
            drill.undo(rubbish.unlink)
            drill.ends(filling)


@contextmanager
def _small_disk(place: Path) -> Iterator[Path]:
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=700", "game-day", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"no disk of its own can be mounted: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=False)
