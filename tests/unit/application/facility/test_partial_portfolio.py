"""A portfolio with wrong fields: what can be read of it is checked in the same round."""

from typing import Any

import pytest

from application.facility.portfolio_validation import (
    STRICTEST_RULES,
    PortfolioInvalid,
    check_references,
    read_portfolio,
)

FACILITY = "{facility_id: hall, meters: [], zones: [], bms: {address: 'https://b.example'}, programs: [%s]}"


CITY, CITY_WITH_COLOUR = "{utility_id: city}", "{utility_id: city, colour: red}"


def problems_of(text: str) -> list[str]:
    """Of the fields, then of the references of what could be read."""
    with pytest.raises(PortfolioInvalid) as fields:
        read_portfolio(text.encode())
    readable = fields.value.readable
    assert readable is not None
    references: tuple[str, ...] = ()
    try:
        check_references(
            readable.portfolio,
            known_utilities=(),
            known_programs={},
            rules=STRICTEST_RULES,
            unread=readable.unread,
        )
    except PortfolioInvalid as wrong:
        references = wrong.problems
    return [*fields.value.problems, *references]


def test_references_are_checked_beside_wrong_fields() -> None:
    text = f"utilities: [{CITY_WITH_COLOUR}]\nfacilities: [{FACILITY % 'winter'}]"

    first, second = problems_of(text)
    assert first.startswith("utilities[0].colour: there is no such field")
    assert second == "facilities[0].programs: there is no program winter (hall)"


@pytest.mark.parametrize(
    ("utility", "program", "facility"),
    [
        (CITY, "rank: x", FACILITY % "{program_id: p, level_kw: 3}"),  # its terms are not guessed
        (CITY_WITH_COLOUR, "rank: 1", FACILITY % "p"),
        (
            CITY,
            "baseline_method: firm-service-level",
            "{facility_id: x, programs: [{program_id: p, level_kw: 3}]}",
        ),
    ],
)
def test_an_entry_that_cannot_be_read_causes_no_further_problems(
    utility: str, program: str, facility: str
) -> None:
    programs = f"[{{program_id: p, utility_id: city, {program}}}]"
    text = f"utilities: [{utility}]\nprograms: {programs}\nfacilities: [{facility}]"

    of_fields = ("no such field", "is missing", "Expected `int`, got `str`")
    assert [one for one in problems_of(text) if not any(part in one for part in of_fields)] == []


@pytest.mark.parametrize("written", ["[]", "just text", "{programs: 3}"])
def test_what_is_no_portfolio_has_nothing_to_check(written: str) -> None:
    with pytest.raises(PortfolioInvalid) as fields:
        read_portfolio(written.encode())
    readable: Any = fields.value.readable
    assert readable is None or readable.portfolio.programs == ()


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (
            "forecast_guardrail: warnn",
            "forecast_guardrail: Invalid enum value 'warnn'; use block, accept_no_weather, warn",
        ),
        (
            "shortfall_policy: 3",
            "shortfall_policy: Expected `str`, got `int`; use one of continue, reallocate, abort",
        ),
        (
            "window: {days: [monday]}",
            "window.days[0]: Invalid enum value 'monday'; use mon, tue, wed, thu, fri, sat, sun",
        ),
    ],
)
def test_a_wrong_name_is_refused_with_those_that_there_are(entry: str, problem: str) -> None:
    text = f"utilities: [{{utility_id: city}}]\nprograms: [{{program_id: p, utility_id: city, {entry}}}]"

    assert problems_of(text) == [f"programs[0].{problem} (p)"]


def test_a_wrong_time_zone_is_repeated_and_a_near_one_offered() -> None:
    facility = (FACILITY % "").replace("meters", "tz: europe/lodnon, meters")

    *_, problem = problems_of(f"utilities: [{CITY_WITH_COLOUR}]\nfacilities: [{facility}]")
    assert (
        problem == "facilities[0].tz: europe/lodnon is no IANA time zone; did you mean Europe/London? (hall)"
    )


def test_ids_and_regions_are_described_in_words() -> None:
    first, second, *_ = problems_of("facilities: [{facility_id: Hall A, region: Bavaria}]")
    assert first.startswith('facilities[0].facility_id: "Hall A" is no id: use small letters')
    assert second.startswith('facilities[0].region: "Bavaria" is no country or region')
