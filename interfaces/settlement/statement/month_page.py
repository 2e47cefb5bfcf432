"""The printable statement of a month or season: one row for each DR event, then the capacity, then the total."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from html import escape
from urllib.parse import quote

from application.settlement.formula import period_formula, rfc3339
from application.settlement.own_part import own_part, own_period
from application.settlement.shapes import PeriodDocument, SettlementDocument
from domain.settlement.rounding import exact
from interfaces.settlement.statement.event_page import html_of
from interfaces.settlement.statement.origins import rule_fields
from interfaces.settlement.statement.page import (
    TOP,
    Content,
    cell,
    drawing,
    element,
    foot,
    number,
    number_cell,
    page,
    row,
    section,
    table,
    text_cell,
)
from interfaces.settlement.statement.words import Clock, plain
from interfaces.svg import label, picture, shape

MOST_FACILITIES = 2_000
MOST_BARS = 60
BAR_WIDTH, BAR_HEIGHT, BAR_LEFT = 900, 22, 300


def month_html(
    period: str,
    settlements: Sequence[SettlementDocument],
    capacities: Sequence[PeriodDocument],
    *,
    facility: str | None = None,
    settlement_path: str | None = None,
    notes: Sequence[str] = (),
) -> str:
    """`settlements`: those that belong to the period, `capacities`: one for each program. `facility`: its own rows
    alone; every document must have a part of it. `settlement_path`: address of a DR event's settlement, with `{}` for
    its id; None: the page has no such links. `notes`: what else the reader has to know, such as why it is provisional.
    """
    if facility is not None:
        settlements = [own_part(document, facility) for document in settlements]
        capacities = [own_period(document, facility) for document in capacities]
    totals = _totals(settlements, capacities)
    programs = sorted(
        {document.program_id for document in settlements} | {document.program_id for document in capacities}
    )
    who = (
        f"for facility {facility}"
        if facility is not None
        else f"for the utility, program {', '.join(programs)}"
    )
    subject = (
        f'<p class="soft">Settlement statement {escape(who)}</p><h1>{escape(period)}</h1>'
        f'<p class="soft">{len(settlements)} DR events</p>'
    )
    amounts = [
        ("<br>" if place else "", number(f"{total} {currency}", "events"))
        for place, (currency, total) in enumerate(totals)
    ]
    owed = '<span class="soft">Total; above 0 owed by the utility</span>', element("strong", amounts or "0")
    head = element("header", (element("div", subject), element("div", owed, css="total")), at=TOP)
    return page(
        f"Settlement of {period}",
        [
            head,
            "".join(f'<p class="flag">{escape(note)}</p>' for note in notes),
            _bars(settlements, capacities),
            section("DR events", _events(settlements, settlement_path), at="events"),
            *(_capacity(document) for document in capacities),
            section("By facility", _facilities(settlements, capacities), at="facilities"),
        ],
    )


def _totals(
    settlements: Sequence[SettlementDocument], capacities: Sequence[PeriodDocument]
) -> list[tuple[str, str]]:
    """Currency and total."""
    amounts = [(document.currency, document.total) for document in settlements]
    amounts += [(document.currency, document.total) for document in capacities]
    sums: dict[str, Decimal] = {}
    for currency, total in amounts:
        sums[currency] = sums.get(currency, Decimal(0)) + Decimal(total)
    return [(currency, f"{total:f}") for currency, total in sorted(sums.items())]


def _events(settlements: Sequence[SettlementDocument], settlement_path: str | None) -> Content:
    rows = []
    for document in settlements:
        clock, name = Clock(document), document.dr_event_id
        shown = escape(name)
        if settlement_path is not None:
            address = settlement_path.format(quote(name, safe=""))
            shown = f'<a href="{escape(address)}" data-origin="settlement/{escape(name)}">{shown}</a>'
        status = "; ".join(map(plain, document.reasons)) or "settled"
        place = f"settlement/{name}"
        rows.append(
            row(
                [
                    cell(shown),
                    cell(clock.date_time(document.window_starts_at)),
                    text_cell(document.kind),
                    text_cell(f"{status}, revision {document.revision}"),
                    number_cell(_energy(document, "committed_kwh"), place),
                    number_cell(_energy(document, "counted_kwh"), place),
                    number_cell(document.performance, place),
                    number_cell(f"{document.total} {document.currency}", place),
                ],
                at=place,
            )
        )
    columns = ["DR event", "From", "Kind", "Status", "#Committed kWh", "#Counted kWh", "#Ratio", "#Amount"]
    said = "Each amount is the total of that DR event's own statement."
    return table(columns, rows, caption=said) if rows else '<p class="soft">There was no DR event.</p>'


def _energy(document: SettlementDocument, member: str) -> str | None:
    if not document.units:
        own = (
            [facility for facility in document.facilities if facility.counted]
            if len(document.facilities) == 1
            else []
        )
        name = "delivered_kwh" if member == "counted_kwh" else member
        return getattr(own[0], name) if own else None
    return f"{sum((Decimal(getattr(unit, member)) for unit in document.units), Decimal(0)):f}"


def _capacity(document: PeriodDocument) -> Content:
    rows = [
        row(
            [
                text_cell(line.unit),
                number_cell(str(line.events), "events"),
                number_cell(line.performance, "events"),
                cell(
                    html_of(period_formula(line, "" if document.capacity is None else document.capacity.unit))
                ),
                number_cell(line.amount, f"capacity/{document.program_id}/{line.unit}"),
            ],
            at=f"capacity/{document.program_id}/{line.unit}",
        )
        for line in document.lines
    ]
    if not rows:
        return ""
    columns = ["Unit", "#DR events", "#Ratio", "Formula in numbers", f"#Amount, {document.currency}"]
    last = foot("Total", document.total, f"capacity/{document.program_id}", columns=4)
    said = "The ratio is the mean of the unit's DR events of the period."
    title = f"Capacity of {document.period}: {document.program_id}, version {document.program_version}"
    content = table(columns, rows, caption=said, last=last), rule_fields(document.capacity, "capacity")
    return section(title, content, at=f"capacity/{document.program_id}")


def _facilities(settlements: Sequence[SettlementDocument], capacities: Sequence[PeriodDocument]) -> Content:
    """The amounts of each facility from DR events and from capacity, per currency."""
    sums: dict[tuple[str, str], list[Decimal]] = {}
    for document in settlements:
        nothing = _zero(document.minor_unit)
        for facility in document.facilities:
            amounts = sums.setdefault((facility.facility_id, document.currency), [nothing] * 3)
            amounts[0] += Decimal(facility.gross)
            amounts[2] += Decimal(facility.net)
    for capacity in capacities:
        nothing = _zero(capacity.minor_unit)
        for part in capacity.facilities:
            amounts = sums.setdefault((part.facility_id, capacity.currency), [nothing] * 3)
            amounts[1] += Decimal(part.gross)
            amounts[2] += Decimal(part.net)
    shown = sorted(sums.items())[:MOST_FACILITIES]
    rows = [
        row(
            [
                text_cell(facility_id),
                number_cell(f"{of_events:f}", "events"),
                number_cell(f"{of_capacity:f}", "capacity"),
                number_cell(f"{of_events + of_capacity:f}", f"facility/{facility_id}"),
                number_cell(f"{net:f}", f"facility/{facility_id}"),
                text_cell(currency),
            ],
            at=f"facility/{facility_id}",
        )
        for (facility_id, currency), (of_events, of_capacity, net) in shown
    ]
    left = len(sums) - len(shown)
    more = f'<p class="soft">{left} facilities more are in the CSV statement.</p>' if left else ""
    columns = ["Facility", "#DR events", "#Capacity", "#Gross", "#Net", "Currency"]
    said = "Net is what of the gross amounts goes to the facility, by the share of the rule."
    return (table(columns, rows, caption=said), more) if rows else ""


def _zero(minor_unit: int) -> Decimal:
    return Decimal(0).scaleb(-minor_unit)


def _bars(settlements: Sequence[SettlementDocument], capacities: Sequence[PeriodDocument]) -> str:
    """A bar for the amount of each DR event, and of the capacity."""
    bars = list(_amounts(settlements, capacities))
    if not bars:
        return ""
    most = max((abs(float(exact(amount))) for _, amount, _ in bars), default=0.0) or 1.0
    drawn = []
    for number_, (name, amount, origin) in enumerate(bars):
        y, width = BAR_HEIGHT * number_, (BAR_WIDTH - BAR_LEFT - 130) * abs(float(exact(amount))) / most
        kind = "less" if amount.startswith("-") else "done"
        bar = {"x": BAR_LEFT, "y": y + 3, "width": width, "height": BAR_HEIGHT - 7}
        drawn += [
            label(name[:44], x=0, y=y + 15),
            shape("rect", class_=kind, data_origin=origin, **bar),
            label(amount, x=BAR_LEFT + width + 6, y=y + 15),
        ]
    explained = "Amount of each DR event and of the capacity"
    return drawing(picture(BAR_WIDTH, BAR_HEIGHT * len(bars), drawn, role="img", aria_label=explained))


def _amounts(
    settlements: Sequence[SettlementDocument], capacities: Sequence[PeriodDocument]
) -> Iterator[tuple[str, str, str]]:
    """Name, amount and origin of each bar."""
    for document in settlements[:MOST_BARS]:
        day = rfc3339(document.window_starts_at)[:10]
        yield f"{day}  {document.dr_event_id}", document.total, f"settlement/{document.dr_event_id}"
    for capacity in capacities[:MOST_BARS]:
        if capacity.lines:
            yield f"capacity, {capacity.program_id}", capacity.total, f"capacity/{capacity.program_id}"
