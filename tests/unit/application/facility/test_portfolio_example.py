"""The example of a portfolio is valid, names every field, and its comments state the defaults."""

import re
from typing import Any

import msgspec
import pytest

from application.facility.bms_networks import BmsNetworks
from application.facility.portfolio_entries import (
    BmsEntry,
    EnrolmentEntry,
    FacilityEntry,
    MeterEntry,
    Portfolio,
    ProgramEntry,
    UtilityEntry,
    ZoneEntry,
)
from application.facility.portfolio_example import FACILITY_IDS, portfolio_example
from application.facility.portfolio_validation import (
    STRICTEST_RULES,
    PortfolioRules,
    check_references,
    read_portfolio,
)
from application.facility.secret_references import SecretNamespace
from domain.program import WindowTerms

ENTRIES = (
    UtilityEntry,
    ProgramEntry,
    ZoneEntry,
    MeterEntry,
    BmsEntry,
    EnrolmentEntry,
    FacilityEntry,
    WindowTerms,
)


def checked(text: str, rules: PortfolioRules = STRICTEST_RULES) -> Portfolio:
    portfolio = read_portfolio(text.encode())
    check_references(portfolio, known_utilities=(), known_programs={}, rules=rules)
    return portfolio


def test_the_example_is_a_valid_portfolio() -> None:
    portfolio = checked(portfolio_example())

    assert tuple(one.facility_id for one in portfolio.facilities) == FACILITY_IDS
    assert [one.bms.address for one in portfolio.facilities] == [
        f"https://bms.example/{facility_id}" for facility_id in FACILITY_IDS
    ]


def test_the_example_may_have_other_addresses_of_bmss() -> None:
    simulated = portfolio_example(bms_address="http://127.0.0.1:9000/buildings/{facility_id}/bms")
    local = PortfolioRules(SecretNamespace(folder="/nonexistent"), BmsNetworks.of("127.0.0.0/8"))

    assert [one.bms.address for one in checked(simulated, local).facilities] == [
        f"http://127.0.0.1:9000/buildings/{facility_id}/bms" for facility_id in FACILITY_IDS
    ]


def commented() -> list[tuple[str, Any]]:
    """The fields in comments of the example, each with the value that stands there."""
    lines = re.findall(r"^ +# ([a-z_0-9]+): ([^#\n]+?) *(?:#.*)?$", portfolio_example(), re.MULTILINE)
    return [(name, msgspec.yaml.decode(value.encode())) for name, value in lines]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.__name__)
def test_the_example_names_every_field(entry: type[msgspec.Struct]) -> None:
    named = set(re.findall(r"\b([a-z_0-9]+)\b", portfolio_example()))

    assert named >= {field.encode_name for field in msgspec.structs.fields(entry)}


def test_the_comments_of_the_example_state_the_defaults() -> None:
    """A line of them that is no comment any more changes nothing, unless it says that there is no default."""
    defaults: dict[str, list[Any]] = {}
    for entry in ENTRIES:
        for field in msgspec.structs.fields(entry):
            if field.default not in (None, msgspec.NODEFAULT):
                defaults.setdefault(field.encode_name, []).append(field.default)
    named = [(name, value) for name, value in commented() if name in defaults]

    assert len(named) > 20
    assert [(name, value) for name, value in named if value not in defaults[name]] == []
