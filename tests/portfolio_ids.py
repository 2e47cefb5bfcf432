"""The ids of a portfolio in memory."""

from collections.abc import Iterable

from application.access.portfolio_ids import PortfolioIds
from application.commands.facility import RegisterFacility
from application.facility.portfolio_entries import UtilityEntry
from tests.fakes.facility import FakeUtilities
from tests.given_when_then import given
from tests.sample_values import facility_entry


def portfolio_ids(
    *facility_ids: str, unprojected: Iterable[str] = (), utility_ids: Iterable[str] = ()
) -> PortfolioIds:
    """`unprojected`: facilities that are registered, and that the read model does not have yet."""
    story = given().after(
        *(RegisterFacility(entry=facility_entry(one)) for one in (*facility_ids, *unprojected))
    )
    utilities = FakeUtilities()
    for one in utility_ids:
        utilities._keep(UtilityEntry(utility_id=one, name=one))
    return PortfolioIds(lambda: facility_ids, story.store, utilities)
