"""What a portfolio file is imported to, in memory."""

from application.operations.portfolio_import import PortfolioTarget
from tests.fakes.facility import FakeFacilityCoordinates, FakeUtilities
from tests.fakes.operations.act_log import FakeActLog
from tests.given_when_then import Scenario


def portfolio_target(story: Scenario) -> PortfolioTarget:
    """Over the bus and the log of `story`."""
    return PortfolioTarget(
        story.bus, FakeUtilities(), FakeFacilityCoordinates(), FakeActLog(), story.clock, story.store
    )
