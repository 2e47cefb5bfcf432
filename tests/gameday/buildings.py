"""Cases of buildings and utilities."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from domain.dispatch.state import CURTAILED as CURTAILED_STATUSES
from tests.gameday.drill import Drill
from tests.gameday.registry import case

AWAY, CURTAILED, DRIFTING, UNCALLED = "fac-001", "fac-002", "fac-003", "fac-004"
"""Of the demo's facilities: the BMS of fac-001 never answers, fac-002 refuses, fac-003 answers late."""


@case(
    "stop_bms",
    "bms_breaker_open",
    "command_dead_lettered",
    "dead_letter_overdue",
    "batch_below_80_percent",
    "restore_failing",
)
def stop_bms(drill: Drill) -> None:
    """One BMS is away before the window, the other at its restore."""
    fault = {"facility_id": CURTAILED, "kind": "time_out", "phase": "restore"}
    with drill.bms_faults(CURTAILED, fault):
        dr_event_id = drill.request(AWAY, CURTAILED)
        values = {"ID": dr_event_id, "DR_EVENT_ID": dr_event_id, "F": CURTAILED}
        breaker = drill.fires("bms_breaker_open", AWAY)
        batch = drill.fires("batch_below_80_percent", dr_event_id)
        drill.look_at("bms_breaker_open", **values)
        drill.look_at("batch_below_80_percent", **values)
        _give_up_commands(drill, dr_event_id)
        failing = drill.fires("restore_failing", CURTAILED)
        drill.look_at("restore_failing", **values)
        drill.do(
            "restore_failing", 'gridproof dr-events restored ID --facility F --reason "who said so"', **values
        )
        drill.undo()
        drill.ends(failing)
    drill.bms(f"{AWAY}/faults", [])
    drill.undo()
    drill.ends(batch)
    again = drill.request(AWAY)  # the breaker lets a call through
    drill.ends(breaker)
    drill.cancel(again)


def _give_up_commands(drill: Drill, dr_event_id: str) -> None:
    dead = drill.fires("command_dead_lettered", AWAY)
    drill.look_at("command_dead_lettered", DR_EVENT_ID=dr_event_id)
    overdue = drill.fires("dead_letter_overdue", "bms_command/")
    letter = overdue.subject.partition("/")[2]
    drill.look_at("dead_letter_overdue", ID=letter, DR_EVENT_ID=dr_event_id)
    drill.undo()
    drill.do("dead_letter_overdue", 'gridproof dead-letters discard ID --reason "..."', ID=letter)
    drill.ends(overdue)

    def discard_others() -> None:
        for other in drill.letters("bms_command", AWAY):
            drill.do("command_dead_lettered", "gridproof dead-letters discard ID --reason ...", ID=other)

    drill.ends(dead, meanwhile=discard_others)


@case("override_zone_by_hand", "bms_drift")
def override_zone_by_hand(drill: Drill) -> None:
    drill.bms(f"{DRIFTING}/faults", [])
    dr_event_id = drill.request(DRIFTING)

    def is_curtailed() -> bool:
        rows = drill.demo.get(f"/api/dr-events/{dr_event_id}/dispatches")["items"]
        return [row["status"] for row in rows if row["status"] in CURTAILED_STATUSES] != []

    drill.until(is_curtailed, "its zones are curtailed")
    drill.begin()
    drill.bms(f"{DRIFTING}/zones/zone-1/setpoint", {"setpoint": 19.5})
    drift = drill.fires("bms_drift", DRIFTING)
    drill.undo()  # its correction is sent at once
    drill.look_at("bms_drift", ID=dr_event_id)
    drill.ends(drift)


@case("refuse_callbacks", "callback_undeliverable")
def refuse_callbacks(drill: Drill) -> None:
    with utility_that_refuses() as (url, refusing):
        dr_event_id = drill.request(UNCALLED, callback_url=url)
        alert = drill.fires("callback_undeliverable")
        drill.look_at("callback_undeliverable")
        drill.undo(refusing.clear)
        for letter in drill.letters("callback", alert.subject):
            drill.do("callback_undeliverable", "gridproof dead-letters replay ID", ID=letter)
        drill.ends(alert)
        drill.cancel(dr_event_id)


@case("slow_bms", "bms_slow")
def slow_bms(drill: Drill) -> None:
    """The demo's fac-003 has answered its commits after 18 s, with too few calls beside it to hide that."""
    dr_event = drill.demo.get(f"/api/dr-events/{drill.demo.dr_event}")
    drill.began = drill.undone = datetime.fromisoformat(dr_event["starts_at"])
    drill.look_at("bms_slow")
    drill.ends(drill.fires("bms_slow"))


@contextmanager
def utility_that_refuses() -> Iterator[tuple[str, threading.Event]]:
    """Its address, and an event: while it is set, every callback is refused for good."""
    refusing = threading.Event()
    refusing.set()

    class Callbacks(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", "0")))
            self.send_response(410 if refusing.is_set() else 200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Callbacks)
    thread = threading.Thread(target=server.serve_forever, name="utility")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/callbacks", refusing
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
