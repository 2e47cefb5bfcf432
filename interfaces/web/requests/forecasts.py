"""Reads of forecasts, of the primary or of the replica."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from application.ports.forecast.past_forecasts import PastForecasts
from application.ports.forecast.scores import ForecastScores
from interfaces.web.edge import web_of
from interfaces.web.guard.access import ApiRequest
from interfaces.web.middleware.replica_routing import prefers_newest
from interfaces.web.routes import READS_PAST

TResult = TypeVar("TResult")


async def read_forecasts(
    request: ApiRequest, read: Callable[[PastForecasts, ForecastScores], TResult]
) -> TResult:
    """The result of `read`, in a thread.

    The replica is read only for the present, which is labelled by its lag, and counts only if it has something: the
    primary may have more.
    """
    web = web_of(request)
    reads = web.replica_reads

    def of_primary() -> TResult:
        return read(web.past_forecasts, web.forecast_scores)

    if reads is None or READS_PAST in request.scope or prefers_newest(request.scope):
        return await asyncio.to_thread(of_primary)

    def of_replica() -> TResult | None:
        return read(reads.past_forecasts, reads.forecast_scores) or None

    return await asyncio.to_thread(reads.read, of_replica, of_primary)
