"""The eleven programmes of docs/settlement.md: each row of the table there is computed from the data of the package."""

from pathlib import Path

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
PAGE = Path(__file__).parents[4] / "docs" / "settlement.md"
CELLS = [[cell.strip() for cell in row.strip("|").split("|")] for row in PAGE.read_text().splitlines()]
ROWS = [cells for cells in CELLS if cells[0] in PROGRAMMES and len(cells) == 7]
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
