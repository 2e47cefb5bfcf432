"""The kind and the prices of a DR event against the program's settlement rule.

They are held against the rule in force, not that of the acceptance: an operator may settle by the newest version.
"""

from collections.abc import Iterator
from datetime import timedelta

from application.command_bus.decision_context import DecisionContext
from application.commands.dr_event import JudgeNotification, ModifyDREvent
from domain.dr_event import ORDINARY_KIND, DREvent, EventPrice, Notice, Reason
from domain.dr_event.feasibility import Refusal
from domain.program import SettlementRule
from domain.settlement.inputs import StepWindow, step_window
from domain.telemetry.intervals import INTERVAL_S


def rule_in_force(program_id: str, context: DecisionContext) -> SettlementRule | None:
    """None: the program settles nothing in money."""
    program = context.program(program_id)
    terms = None if program is None else program.state.terms
    return None if terms is None else terms.settlement


def settlement_reasons(
    dr_event: DREvent,
    command: JudgeNotification | ModifyDREvent,
    notice: Notice,
    rule: SettlementRule | None,
) -> tuple[Reason, ...]:
    """The objections of the rule to kind and prices of the command; `notice` has the window that would be in force."""
    refusals = [] if command.kind is None else [*_kind_refusals(command.kind, rule)]
    if command.prices is not None:
        refusals += price_refusals(command.prices, notice, rule)
    else:
        state = dr_event.state
        refusals += _earlier_price_refusals(state.prices, notice, state.judged_notice, rule)
    return tuple(Reason(code=refusal.code, detail=refusal.detail) for refusal in refusals)


def _kind_refusals(kind: str, rule: SettlementRule | None) -> Iterator[Refusal]:
    """A kind that the rule does not name would never be settled."""
    kinds = [ORDINARY_KIND] if rule is None else [ORDINARY_KIND, *rule.kinds]
    if kind not in kinds:
        without = "; it has no settlement rule, which would name others" if rule is None else ""
        yield Refusal(
            "unknown_kind",
            f"{kind!r} is no kind of this program; use {' or '.join(sorted(set(kinds)))}{without}",
        )


def price_refusals(
    prices: tuple[EventPrice, ...], notice: Notice, rule: SettlementRule | None
) -> Iterator[Refusal]:
    """`notice` has the window in force. Not every interval needs a price: more may come later.

    A window without a whole step is refused for that alone.
    """
    if not prices or not _window(notice).count:
        return
    if rule is None:
        yield Refusal(
            "no_settlement_rule",
            "the program has no settlement rule, so prices have no interval and no currency; leave `prices` out, or "
            "ask the operator to agree a rule",
        )
        return
    seen = set()
    for price in prices:
        at = price.starts_at.isoformat()
        if not _begins_an_interval(price, notice, rule):
            yield Refusal(
                "price_off_interval", f"no settlement interval begins at {at}: {_intervals(notice, rule)}"
            )
        elif price.starts_at in seen:
            yield Refusal("duplicate_price", f"the interval from {at} has two prices; send one")
        seen.add(price.starts_at)


def _earlier_price_refusals(
    prices: tuple[EventPrice, ...], notice: Notice, in_force: Notice, rule: SettlementRule | None
) -> Iterator[Refusal]:
    """Prices of a DR event whose window a modification moves, without prices for the new one."""
    if rule is None or not _window(notice).count:
        return
    if (notice.starts_at, notice.ends_at) == (in_force.starts_at, in_force.ends_at):
        return
    if not all(_begins_an_interval(price, notice, rule) for price in prices):
        yield Refusal(
            "prices_of_other_window",
            f"the {len(prices)} prices given before do not fit the new window: {_intervals(notice, rule)}; send "
            "`prices` for it, or an empty list and the prices later",
        )


def _window(notice: Notice) -> StepWindow:
    return step_window(notice.starts_at, notice.ends_at, INTERVAL_S)


def _begins_an_interval(price: EventPrice, notice: Notice, rule: SettlementRule) -> bool:
    window = _window(notice)
    since = price.starts_at - window.starts_at
    return window.starts_at <= price.starts_at < window.ends_at and not since % timedelta(
        seconds=rule.interval_s
    )


def _intervals(notice: Notice, rule: SettlementRule) -> str:
    window = _window(notice)
    return (
        f"they begin every {rule.interval_s} s from {window.starts_at.isoformat()} until before "
        f"{window.ends_at.isoformat()}"
    )
