"""The prices that the webhook takes are those that a settlement looks up."""

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from application.handlers.dr_event.settlement_check import price_refusals
from domain.dr_event import EventPrice
from domain.program import SettlementRule
from domain.program.settlement_rule import Energy
from domain.settlement.inputs import EndedEvent, EventFacility, MeteringStep, event_window
from domain.settlement.settle import settle
from domain.telemetry.intervals import INTERVAL_S
from tests.sample_values import STARTS_AT, notice
from tests.sizes import examples


@settings(max_examples=examples(100))
@given(
    late_s=st.integers(0, 3600),
    length_s=st.integers(2 * INTERVAL_S, 5 * 3600),
    interval_s=st.sampled_from([INTERVAL_S, 1800, 2700, 3600, 86_400]),
    off_s=st.integers(-7200, 7200),
)
def test_every_interval_of_a_settlement_takes_a_price_and_nothing_else_does(
    late_s: int, length_s: int, interval_s: int, off_s: int
) -> None:
    starts_at = STARTS_AT + timedelta(seconds=late_s)
    asked = notice(starts_at=starts_at, ends_at=starts_at + timedelta(seconds=length_s))
    rule = SettlementRule(currency="USD", interval_s=interval_s, energy=Energy(price="event"))
    unpriced = EndedEvent(
        dr_event_id="1",
        program_id=asked.program_id,
        starts_at=asked.starts_at,
        ends_at=asked.ends_at,
        facilities=(EventFacility(facility_id="fac-001", committed_kw="1"),),
    )
    metered = tuple(
        MeteringStep(starts_at=at, adjusted_kw="2.000", metered_kw="1.000")
        for at in event_window(unpriced, INTERVAL_S).starts()
    )
    by_rate = settle(
        SettlementRule(currency="USD", interval_s=interval_s, energy=Energy(rate="1")),
        unpriced,
        {"fac-001": metered},
        step_s=INTERVAL_S,
    )
    starts = {interval.starts_at for unit in by_rate.units for interval in unit.intervals}
    prices = tuple(EventPrice(starts_at=at, per_kwh="1") for at in sorted(starts))
    assert list(price_refusals(prices, asked, rule)) == []
    other = EventPrice(starts_at=asked.starts_at + timedelta(seconds=off_s), per_kwh="1")
    refused = [refusal.code for refusal in price_refusals((other,), asked, rule)]
    assert refused == ([] if other.starts_at in starts else ["price_off_interval"])
