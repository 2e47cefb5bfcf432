"""The checks of PostgreSQL's disk, and of NATS's clock, streams and disk, for `gridproof doctor`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import nats.errors

from application.operations.clock_monitor import MAX_SKEW_S, Skew
from interfaces.bootstrap.clock import machine_time
from interfaces.bootstrap.doctor.disk import check_disk
from interfaces.bootstrap.doctor.ledger_places import LOCAL_HOSTS, database_place
from interfaces.bootstrap.doctor.result import CheckFailed, CheckResult

if TYPE_CHECKING:
    from adapters.nats.server_state import StreamFill
    from interfaces.bootstrap.stores import Stores

DATABASE_DISK, NATS_DISK, NATS_CLOCK, STREAMS = "postgresql disk", "nats disk", "nats clock", "streams"
NATS_WITHIN_S = 10.0
FULL_SHARE = 0.8


def check_database_disk(stores: Stores) -> CheckResult:
    """The share that is used, where the server is the embedded one; else only what the database takes."""
    from adapters.postgres.connection.transaction import transaction

    with transaction(stores.pool) as connection:
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    held = f"the database takes {(row[0] if row else 0) / 1e9:.2f} GB"
    return _disk(DATABASE_DISK, database_place(stores.settings, stores.database_url).path, held)


def check_nats(data_dir: Path, url: str) -> Iterator[CheckResult]:
    """Clock, streams and disk of NATS; nothing where it does not answer, which another check says."""
    from adapters.nats.server_state import server_state

    try:
        state = asyncio.run(asyncio.wait_for(server_state(url, wall_now=machine_time), NATS_WITHIN_S))
    except (nats.errors.Error, OSError, TimeoutError):
        return
    limit = "no limit" if state.most_bytes is None else f"of {state.most_bytes / 1e9:.1f} GB"
    held = f"JetStream takes {state.held_bytes / 1e9:.2f} GB ({limit})"
    is_here = all(urlsplit(one.strip()).hostname in LOCAL_HOSTS for one in url.split(","))
    yield assess_clock(state.skew)
    yield assess_streams(state.streams)
    yield _disk(NATS_DISK, data_dir / "nats" if is_here else None, held)


def assess_clock(skew: Skew | None) -> CheckResult:
    if skew is None:
        return CheckResult(check=NATS_CLOCK, state="not set", detail="no stream says the server's time yet")
    detail = f"this machine is {skew.seconds:+.2f} s from it (+-{skew.uncertain_s:.2f} s)"
    facts = {"seconds": round(skew.seconds, 3)}
    if not skew.is_too_far:
        return CheckResult(check=NATS_CLOCK, state="ok", detail=detail, facts=facts)
    return CheckResult(
        check=NATS_CLOCK,
        state="wrong",
        detail=f"{detail}; more than {MAX_SKEW_S:.0f} s",
        advice="set both machines' clocks by NTP",
        facts=facts,
    )


def assess_streams(streams: Sequence[StreamFill]) -> CheckResult:
    """A warning where a stream is nearly full."""
    if not streams:
        return CheckResult(check=STREAMS, state="not set", detail="none yet; workers create them")
    full = [one.name for one in streams if one.most_bytes and one.held_bytes > FULL_SHARE * one.most_bytes]
    facts = {one.name: one._asdict() for one in streams}
    detail = ", ".join(_filled(one) for one in streams)
    if not full:
        return CheckResult(check=STREAMS, state="ok", detail=detail, facts=facts)
    return CheckResult(
        check=STREAMS,
        state="warning",
        detail=f"nearly full: {', '.join(full)}; {detail}",
        advice="do the workers that take from it run? see `gridproof dead-letters list`, and docs/guides/servers.md",
        facts=facts,
    )


def _filled(stream: StreamFill) -> str:
    most = "no limit" if stream.most_bytes is None else f"of {stream.most_bytes / 1e6:,.0f} MB"
    replicas = f", {stream.replicas} replicas" if stream.replicas > 1 else ""
    return f"{stream.name} {stream.held_bytes / 1e6:,.0f} MB {most}{replicas}"


def _disk(name: str, folder: Path | None, held: str) -> CheckResult:
    """`folder`: the embedded server's, or that of one on this machine, which may be elsewhere."""
    if folder is None or not folder.is_dir():
        return CheckResult(check=name, state="ok", detail=f"{held}; its disk is not seen from here")
    try:
        return CheckResult(check=name, state="ok", detail=f"{check_disk(folder)}; {held}")
    except CheckFailed as failed:
        return CheckResult(check=name, state="wrong", detail=f"{failed}; {held}", advice=failed.advice)
