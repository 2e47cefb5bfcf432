import pytest

from domain.allocation.allocate import FacilityOffer, ZoneOffer, ZoneShare, allocate, reallocate
from domain.units import InvalidQuantity


def offer(
    facility_id: str, *zones_kw: float, forecast_kw: float | None = None, blocked: bool = False
) -> FacilityOffer:
    zones = tuple(ZoneOffer(f"z{i}", kw, "setpoint_offset", 4.0) for i, kw in enumerate(zones_kw))
    return FacilityOffer(facility_id, zones, forecast_kw, blocked)


def targets(*shares: object) -> dict[str, float]:
    return {share.facility_id: share.target_kw for share in shares}  # type: ignore[attr-defined]


def test_the_target_is_split_in_proportion_to_headroom() -> None:
    plan = allocate(50, [offer("b", 60), offer("a", 20, 20)])
    assert targets(*plan.shares) == {"a": 20, "b": 30}
    assert list(targets(*plan.shares)) == ["a", "b"]
    assert (plan.target_kw, plan.allocated_kw, plan.missing_kw) == (50, 50, 0)


def test_the_share_of_a_facility_is_split_over_zones_by_their_capacity() -> None:
    (share,) = allocate(30, [offer("a", 30, 10, 0)]).shares
    assert share.zones == (
        ZoneShare("z0", 22.5, "setpoint_offset", 3.0),
        ZoneShare("z1", 7.5, "setpoint_offset", 3.0),
        ZoneShare("z2", 0.0, "setpoint_offset", 0.0),
    )


def test_a_building_sheds_no_more_than_it_is_forecast_to_use() -> None:
    plan = allocate(100, [offer("a", 60, forecast_kw=15), offer("b", 60, forecast_kw=-2), offer("c", 60)])
    assert targets(*plan.shares) == {"a": 15, "b": 0, "c": 60}
    assert (plan.allocated_kw, plan.missing_kw) == (75, 25)


def test_a_contract_limit_caps_the_share() -> None:
    limited = FacilityOffer("a", offer("a", 60).zones, contract_limit_kw=10)
    assert allocate(100, [limited]).missing_kw == 90


def test_a_blocked_facility_keeps_its_share_and_its_flag() -> None:
    plan = allocate(60, [offer("a", 60, blocked=True), offer("b", 60)])
    assert [(s.target_kw, s.blocked) for s in plan.shares] == [(30, True), (30, False)]


def test_without_offers_the_whole_target_is_missing() -> None:
    assert allocate(60, []).missing_kw == 60


def test_the_share_of_a_failed_facility_is_reallocated_by_headroom() -> None:
    offers = [offer("a", 40), offer("b", 40), offer("c", 80)]
    plan = allocate(80, offers)
    assert targets(*plan.shares) == {"a": 20, "b": 20, "c": 40}
    revised = reallocate(plan, offers, failed=["a"])
    assert targets(*revised.shares) == pytest.approx({"a": 0, "b": 20 + 20 / 3, "c": 40 + 40 / 3})
    assert revised.allocated_kw == pytest.approx(80)
    assert revised.missing_kw == 0
    again = reallocate(revised, offers, failed=["a", "c"])
    assert targets(*again.shares) == {"a": 0, "b": 40, "c": 0}
    assert again.missing_kw == pytest.approx(40)


def test_a_share_shrinks_only_with_its_headroom() -> None:
    plan = allocate(80, [offer("a", 40), offer("b", 80)])
    revised = reallocate(plan, [offer("a", 10), offer("b", 80)], failed=[])
    assert targets(*revised.shares) == pytest.approx({"a": 10, "b": 70})


@pytest.mark.parametrize("target_kw", [-1.0, float("nan"), float("inf")])
def test_an_invalid_target_is_refused(target_kw: float) -> None:
    with pytest.raises(InvalidQuantity, match="target_kw"):
        allocate(target_kw, [offer("a", 40)])


def test_a_wrong_offer_is_refused_by_name() -> None:
    with pytest.raises(InvalidQuantity, match="curtailable_kw of a/z0"):
        allocate(10, [offer("a", -1)])
    with pytest.raises(InvalidQuantity, match="forecast_kw of a"):
        allocate(10, [offer("a", 1, forecast_kw=float("nan"))])
    with pytest.raises(ValueError, match="facility a is offered twice"):
        allocate(10, [offer("a", 1), offer("a", 2)])
    twice = FacilityOffer("a", (offer("a", 1).zones[0],) * 2)
    with pytest.raises(ValueError, match="zone z0 of a is offered twice"):
        allocate(10, [twice])
