from math import fsum

from hypothesis import given
from hypothesis import strategies as st

from domain.allocation.allocate import TOLERANCE_KW, FacilityOffer, ZoneOffer, allocate, reallocate

kilowatts = st.one_of(st.just(0.0), st.floats(1e-3, 5_000), st.floats(0, 1e-6))


@st.composite
def offers(draw: st.DrawFn, min_size: int = 0) -> list[FacilityOffer]:
    ids = draw(st.lists(st.integers(0, 999), unique=True, min_size=min_size, max_size=8))
    made = []
    for number in ids:
        kws = draw(st.lists(kilowatts, max_size=4))
        zones = tuple(ZoneOffer(f"z{i}", kw, "shed_level", 100.0) for i, kw in enumerate(kws))
        forecast_kw = draw(st.one_of(st.none(), st.floats(-10, 5_000)))
        made.append(FacilityOffer(f"fac-{number:03d}", zones, forecast_kw, draw(st.booleans())))
    return made


@given(kilowatts, offers())
def test_no_share_is_negative_or_above_its_limit(target_kw: float, offered: list[FacilityOffer]) -> None:
    limits = {o.facility_id: o for o in offered}
    for share in allocate(target_kw, offered).shares:
        assert 0 <= share.target_kw <= share.headroom_kw == limits[share.facility_id].headroom_kw
        zone_limits = {z.zone_id: z for z in limits[share.facility_id].zones}
        for zone in share.zones:
            assert 0 <= zone.target_kw <= zone_limits[zone.zone_id].curtailable_kw
            assert 0 <= zone.magnitude <= zone_limits[zone.zone_id].max_magnitude


@given(kilowatts, offers())
def test_shares_and_the_missing_power_sum_to_the_target(
    target_kw: float, offered: list[FacilityOffer]
) -> None:
    plan = allocate(target_kw, offered)
    assert abs(plan.allocated_kw + plan.missing_kw - target_kw) <= TOLERANCE_KW
    assert abs(fsum(s.target_kw for s in plan.shares) - plan.allocated_kw) <= TOLERANCE_KW
    for share in plan.shares:
        assert abs(fsum(z.target_kw for z in share.zones) - share.target_kw) <= TOLERANCE_KW
    assert abs(plan.missing_kw - max(0.0, target_kw - fsum(o.headroom_kw for o in offered))) <= TOLERANCE_KW


@given(kilowatts, offers(), st.randoms(use_true_random=False))
def test_the_allocation_does_not_depend_on_the_order_of_offers(
    target_kw: float, offered: list[FacilityOffer], random: object
) -> None:
    shuffled = [FacilityOffer(o.facility_id, o.zones[::-1], o.forecast_kw, o.blocked) for o in offered]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert allocate(target_kw, shuffled) == allocate(target_kw, offered)


@given(kilowatts, offers(min_size=1), kilowatts)
def test_more_headroom_never_reduces_the_total_allocation(
    target_kw: float, offered: list[FacilityOffer], more_kw: float
) -> None:
    first = offered[0]
    zones = (*first.zones, ZoneOffer("extra", more_kw, "shed_level", 100.0))
    roomier = [FacilityOffer(first.facility_id, zones, first.forecast_kw), *offered[1:]]
    before, after = allocate(target_kw, offered), allocate(target_kw, roomier)
    assert after.allocated_kw >= before.allocated_kw - TOLERANCE_KW


@given(kilowatts, offers(min_size=1), st.data())
def test_reallocation_respects_the_limits_and_sums_to_the_target(
    target_kw: float, offered: list[FacilityOffer], data: st.DataObject
) -> None:
    plan = allocate(target_kw, offered)
    failed = set(data.draw(st.lists(st.sampled_from([o.facility_id for o in offered]), unique=True)))
    revised = reallocate(plan, offered, failed)
    before = {s.facility_id: s.target_kw for s in plan.shares}
    assert [s.facility_id for s in revised.shares] == sorted(before)
    for share in revised.shares:
        if share.facility_id in failed:
            assert share.target_kw == 0
        else:
            assert (
                before[share.facility_id] - TOLERANCE_KW
                <= share.target_kw
                <= share.headroom_kw + TOLERANCE_KW
            )
    assert abs(revised.allocated_kw + revised.missing_kw - target_kw) <= TOLERANCE_KW


@given(kilowatts, offers(min_size=1), st.floats(0, 5_000))
def test_a_smaller_headroom_shrinks_its_share_only_where_others_do_not_take_over(
    target_kw: float, offered: list[FacilityOffer], headroom_kw: float
) -> None:
    plan = allocate(target_kw, offered)
    first, *others = offered
    smaller = FacilityOffer(first.facility_id, first.zones, min(headroom_kw, first.headroom_kw))
    revised = reallocate(plan, [smaller, *others], (), others_take_over=False)
    before = {s.facility_id: s.target_kw for s in plan.shares}
    for share in revised.shares:
        limit = smaller.headroom_kw if share.facility_id == first.facility_id else before[share.facility_id]
        assert share.target_kw == min(before[share.facility_id], limit)
    assert abs(revised.allocated_kw + revised.missing_kw - target_kw) <= TOLERANCE_KW
