"""The portfolio in one row: what could be shed, what is promised, what is delivered."""

import asyncio

from litestar import Controller, get

from interfaces.web.access import ApiRequest
from interfaces.web.collaborators import collaborators_of
from projections.portfolio import KEY, PortfolioRow


class PortfolioController(Controller):
    path = "/api/portfolio"
    tags = ("portfolio",)

    @get("/", summary="Available, committed and delivered kW")
    async def whole(self, request: ApiRequest) -> PortfolioRow:
        """An empty one before the first facility is imported."""
        row = await asyncio.to_thread(collaborators_of(request).read_models.portfolio.get, KEY)
        return row or PortfolioRow()
