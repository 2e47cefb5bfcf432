"""A second floor for current values, on the API's own batching reader: what remains is the path from the server to the
reader, and the response.
"""

from __future__ import annotations

from typing import Any

import msgspec

from application.telemetry.rate_limited_reads import RateLimitedCurrentValues
from interfaces.web.api.telemetry.current_value import STALE_AFTER_S
from tests.bench.api.floor import PlainApp, served
from tests.bench.api.plain_stores import PlainStores, Refused
from tests.bench.api.setup import PlainPlan, gathered_reads

_encode = msgspec.json.Encoder().encode


class GatheringApp(PlainApp):
    """An ASGI application that serves only current values."""

    def __init__(self, stores: PlainStores, plan: PlainPlan) -> None:
        super().__init__(stores)
        self._reads: RateLimitedCurrentValues | None = None
        self._plan = plan

    async def _current(self, caller: Any, facility_id: str) -> bytes:
        if self._reads is None:
            self._reads, self._clock = gathered_reads(self._plan)
        read = await self._reads.read(caller.key_id, facility_id)
        if read.answer is None or read.answer.value is None:
            raise Refused(429)
        value = read.answer.value
        age_s = (self._clock.now() - value.measured_at).total_seconds()
        return _encode(
            {
                "facility_id": facility_id,
                "kw": value.kw,
                "measured_at": value.measured_at,
                "age_s": age_s,
                "stale": value.kw is None or age_s > STALE_AFTER_S,
                "source": read.answer.source,
            }
        )


if __name__ == "__main__":
    served(GatheringApp)
