"""The check of the telemetry log's size for `gridproof doctor`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from interfaces.bootstrap.doctor.result import CheckResult
from interfaces.bootstrap.telemetry_stream import log_misfits

if TYPE_CHECKING:
    from interfaces.bootstrap.stores import Stores

NAME = "telemetry log"
_WITHIN_S = 5.0


def check_telemetry_log(stores: Stores) -> CheckResult:
    """A warning where the log or its disk is too small for the days that it is to keep."""
    url = stores.settings.nats_url
    if url is None:
        return CheckResult(check=NAME, state="not set", detail="no address of NATS is known")
    size = asyncio.run(asyncio.wait_for(_size(url), _WITHIN_S))
    limit, held = (None, 0) if size is None else size
    misfits = log_misfits(stores, limit, held)
    kept = f"{stores.settings.telemetry_log_days} days"
    detail = (
        f"not created yet, for {kept}"
        if limit is None
        else f"{held / 1e9:.1f} of {limit / 1e9:.1f} GB, for {kept}"
    )
    facts = {"held_bytes": held, "limit_bytes": limit}
    if not misfits:
        return CheckResult(check=NAME, state="ok", detail=detail, facts=facts)
    return CheckResult(
        check=NAME,
        state="warning",
        detail="; ".join(misfits),
        advice="see docs/guides/telemetry.md, The telemetry log",
        facts=facts,
    )


async def _size(url: str) -> tuple[int, int] | None:
    """The limit and what it holds, bytes; None: there is no log yet."""
    import nats.js.errors

    from adapters.nats.connection import connect
    from adapters.nats.telemetry_stream import STREAM

    client = await connect(url, name="doctor", keep_trying=False)
    try:
        info = await client.jetstream(timeout=3).stream_info(STREAM)
    except nats.js.errors.NotFoundError:
        return None
    finally:
        await client.close()
    return max(0, info.config.max_bytes or 0), info.state.bytes
