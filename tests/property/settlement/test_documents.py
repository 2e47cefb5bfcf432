"""The settlement documents hold what the plain implementation computes, member by member, with the digits that the
contract says."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from application.settlement.document import settlement_document
from application.settlement.period import period_document
from application.settlement.resettled import resettled_document
from application.settlement.shapes import EventInputs, ProgramInputs, SettlementDocument
from domain.settlement.inputs import MeteringStep
from domain.settlement.resettlement import Basis
from tests.property.settlement.plain_arithmetic import Json, Refused
from tests.property.settlement.plain_period import PlainBasis, period_plainly, resettle_plainly
from tests.property.settlement.random_cases import Case, case_of
from tests.sizes import examples

OF_THE_PLAIN_ONE = {"event", "pays_capacity"}
"""What it hands to the period, no figures."""


def test_documents_hold_the_figures_of_the_plain_implementation() -> None:
    settled = 0
    for number in range(20_000, 20_000 + examples(100)):
        case = case_of(number)
        pairs = [pair for one in case.events if (pair := _pair(PlainBasis(case.program, *one, case.step_s)))]
        for document, plain in pairs:
            assert _different(document, plain) == [], f"case {number}"
            settled += document.status == "settled"
        period = period_document(_program(case.program), case.period, [document for document, _ in pairs])
        plain_period = period_plainly(case.program, case.period, [plain for _, plain in pairs])
        assert _different(period, plain_period) == [], f"case {number}"
        _compare_revisions(case, number)
    assert settled > examples(100) / 2


def _compare_revisions(case: Case, number: int) -> None:
    old, new = PlainBasis(case.program, *case.events[0], case.step_s), PlainBasis(*case.later, case.step_s)
    try:
        plain = resettle_plainly(old, new)
    except Refused:
        return
    revised = resettled_document(_document(old), _document(new))
    if revised is None:
        assert plain["difference"] == 0, f"case {number}"
    else:
        assert _different(revised.resettlement, plain) == [], f"case {number}"


def _pair(basis: PlainBasis) -> tuple[SettlementDocument, Json] | None:
    try:
        return _document(basis), basis.settled()
    except Refused:
        with pytest.raises(ValueError, match=r"price of the interval|no kind"):
            _document(basis)
    except ValueError:
        with pytest.raises(Refused):
            basis.settled()
    return None


def _document(plain: PlainBasis) -> SettlementDocument:
    program = _program(plain.program)
    basis = Basis(
        rule=program.settlement,
        dr_event=msgspec.convert(plain.dr_event, EventInputs),
        steps=msgspec.convert(plain.steps, dict[str, list[MeteringStep]]),
        step_s=plain.step_s,
    )
    return settlement_document(basis, program)


def _program(program: Json) -> ProgramInputs:
    return msgspec.convert({"baseline": {"method": "high-5-of-10"}} | program, ProgramInputs)


def _different(document: Any, plain: Json) -> list[str]:
    """Paths of what the document has otherwise, or not at all."""
    return list(_paths(msgspec.to_builtins(document), plain, ""))


def _paths(written: Any, plain: Any, path: str) -> Any:
    if isinstance(plain, dict):
        for name in plain.keys() - OF_THE_PLAIN_ONE:
            yield from _paths(written.get(name, "missing"), plain[name], f"{path}.{name}")
    elif isinstance(plain, list):
        if len(written) != len(plain):
            yield f"{path}: {len(written)} entries, not {len(plain)}"
        for place, pair in enumerate(zip(written, plain, strict=False)):
            yield from _paths(*pair, f"{path}[{place}]")
    elif isinstance(plain, Decimal):
        if path.endswith(".performance") and isinstance(written, str):
            plain = plain.quantize(
                Decimal(written)
            )  # a bound of the ratio may have more places than are shown
        if not isinstance(written, str) or Decimal(written) != plain:
            yield f"{path}: {written!r}, not {plain}"
    elif path.endswith("starts_at"):
        if written.replace("Z", "+00:00") != plain:
            yield f"{path}: {written!r}, not {plain!r}"
    elif written != plain and not (plain is None and path.endswith((".gross", ".net"))):
        yield f"{path}: {written!r}, not {plain!r}"
