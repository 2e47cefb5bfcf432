"""The eleven programmes of docs/settlement.md, each with one DR event of every kind that the page lists."""

import msgspec
import pytest

from domain.program import SettlementRule
from domain.settlement.period import period_named, settle_period
from domain.settlement.rounding import decimal_text
from domain.settlement.settle import settle
from tests.settlement_cases import (
    STEP_S,
    amounts_of,
    ended_event,
    facility,
    money,
    net_of,
    prices_of,
    programmes,
    steps_of,
)

PROGRAMMES = programmes()
TABLE = """
| coned-csrp-reservation | event | 0.72 | energy 215.00 | 215.00 | 1944.00 | 180.00 35.00 |
| coned-csrp-reservation | unplanned | 0.72 | energy 1290.00 | 1290.00 |  | 1080.00 210.00 |
| coned-csrp-reservation | voluntary | 0.72 | energy 645.00 | 645.00 |  | 540.00 105.00 |
| coned-csrp-reservation | voluntary-unplanned | 0.72 | energy 2150.00 | 2150.00 |  | 1800.00 350.00 |
| coned-dlrp-reservation-tier-2 | event | 0.72 | energy 215.00 | 215.00 | 2700.00 | 180.00 35.00 |
| coned-dlrp-reservation-tier-2 | test | 0.72 | energy 215.00 | 215.00 |  | 180.00 35.00 |
| psegli-csrp | event | 0.73 | energy 45.00 (f1), energy 10.00 (f2) | 55.00 | 880.00 | 45.00 10.00 |
| pjm-capacity-performance | event | 0.7167 | energy 27.08, penalty -195.50 | -168.42 | 1255.13 | -27.95 -140.47 |
| pjm-capacity-performance | pre-emergency | 0.7167 | energy 27.08, penalty -97.75 | -70.67 |  | -4.95 -65.72 |
| pjm-capacity-performance | economic | 0.7167 | energy 25.20 | 25.20 |  | 16.80 8.40 |
| pjm-capacity-performance | test | 0.7167 | penalty -195.50 | -195.50 |  | -46.00 -149.50 |
| caiso-pdr-dram | event | 0.7167 | energy 27.08 | 27.08 | 806.29 | 22.67 4.41 |
| leap-partner | event | 0.7333 | energy 20.00 (f1), energy 7.20 (f2) | 27.20 | 660.00 | 15.00 5.40 |
| leap-partner | voluntary | 0.7333 | energy 360.00 (f1), energy 80.00 (f2) | 440.00 |  | 270.00 60.00 |
| leap-partner | exports-allowed | 0.7333 | energy 20.00 (f1), energy 7.20 (f2) | 27.20 |  | 15.00 5.40 |
| voltus-site | event | 0.7333 | energy 36.00 (f1), energy 8.00 (f2) | 44.00 | 440.00 | 21.60 4.80 |
| consumers-energy-ci | event | 0.7333 |  | 0.00 | 2700.00 | 0.00 0.00 |
| connectedsolutions-targeted | event | 0.7167 |  | 0.00 | 3762.50 | 0.00 0.00 |
| pge-cbp | event | 0.7167 | capacity 31.25, energy 27.08 | 58.33 |  | 48.83 9.50 |
| bip-firm-service-level | event | 0.7167 | penalty 0.00 (f1), penalty -30.00 (f2) | -30.00 |  | 0.00 -30.00 |
"""
ROWS = [[cell.strip() for cell in row.strip("| ").split("|")] for row in TABLE.strip().splitlines()]
ENROLLED = {"f1": "100", "f2": "50"}


def in_cells(cells: list[str]) -> list[str]:
    """A row of the table computed anew. The period is shown for the kind `event` alone, as on the page."""
    name, kind = cells[:2]
    rule = msgspec.convert(PROGRAMMES[name]["settlement"], SettlementRule)
    each_hour = 3600 // rule.interval_s
    dr_event = ended_event(
        facility("f1", "100"),
        facility("f2", "50"),
        hours=2,
        kind=kind,
        prices=prices_of(*["0.18"] * each_hour, *["0.025"] * each_hour, interval_s=rule.interval_s),
    )
    steps = {"f1": steps_of("400", "420"), "f2": steps_of("460", "505")}
    settlement = settle(rule, dr_event, steps, step_s=STEP_S)
    lines = [
        f"{component} {amount}" + (f" ({unit})" if rule.level == "facility" else "")
        for (unit, component), amount in amounts_of(settlement).items()
    ]
    assert settlement.performance is not None
    assert rule.performance is not None
    period = settle_period(rule, period_named("2026-07"), [settlement], ENROLLED)
    shown = bool(period.lines) and kind == "event"
    return [
        name,
        kind,
        decimal_text(settlement.performance, rule.performance.places),
        ", ".join(lines),
        money(settlement.total),
        money(period.total) if shown else "",
        " ".join(net_of(settlement.amounts)),
    ]


@pytest.mark.parametrize("cells", ROWS, ids=lambda cells: "-".join(cells[:2]))
def test_each_programme_settles_as_the_page_says(cells: list[str]) -> None:
    assert in_cells(cells) == cells


def test_every_programme_and_kind_of_the_data_is_in_the_table() -> None:
    """But the test of CSRP, whose cap does not matter in this DR event."""
    listed = {(name, kind) for name, kind, *_ in ROWS} | {("coned-csrp-reservation", "test")}
    given = {
        (name, kind)
        for name, document in PROGRAMMES.items()
        for kind in ("event", *document["settlement"].get("kinds", {}))
    }
    assert listed == given
