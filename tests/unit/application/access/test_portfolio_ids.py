"""Ids that the portfolio does not have are named with the nearest ones that it has."""

import pytest

from application.access import portfolio_ids as module
from application.access.portfolio_ids import MOST_NAMED, NotInPortfolio
from tests.portfolio_ids import portfolio_ids


def test_an_unknown_facility_is_refused_with_the_nearest_ids() -> None:
    known = portfolio_ids("new-site", "new-side", "school", utility_ids=["city-power"])
    known.check_facility("new-site")
    with pytest.raises(NotInPortfolio, match=r"no facility 'new-sitee'; did you mean new-site or new-side\?"):
        known.check_facility("new-sitee")
    with pytest.raises(NotInPortfolio, match=r"register it first .*facilities import"):
        portfolio_ids().check_utility("city-power")
    known.check_utility("city-power")
    with pytest.raises(NotInPortfolio, match=r"no utility 'city_power'; did you mean city-power\?"):
        known.check_utility("city_power")


def test_a_facility_that_is_registered_and_not_projected_yet_is_in_the_portfolio(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LOADED_AT_ONCE", 2)
    known = portfolio_ids("a", "b", unprojected=["c", "d", "e"])
    known.check_facility("c")
    assert list(known.unknown_facilities(["a", "c", "x", "d", "y", "e", "z"])) == ["x", "y", "z"]


def test_of_many_unknown_facilities_only_the_first_have_near_ids() -> None:
    strangers = [f"fac-{number:03}x" for number in range(MOST_NAMED + 2)]
    found = portfolio_ids(*(f"fac-{number:03}" for number in range(MOST_NAMED + 2))).unknown_facilities(
        strangers
    )
    assert list(found) == strangers
    assert [near[0] for near in list(found.values())[:MOST_NAMED]] == [
        one[:-1] for one in strangers[:MOST_NAMED]
    ]
    assert list(found.values())[MOST_NAMED:] == [(), ()]
