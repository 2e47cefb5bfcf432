"""The example of the guide to the portfolio file is valid. Its tables: tests/architecture/test_portfolio_page.py."""

from pathlib import Path

import msgspec

from application.facility.portfolio_entries import EnrolmentEntry, ProgramEntry
from application.facility.program_contract import program_problems

GUIDE = (Path(__file__).parents[4] / "docs" / "guides" / "portfolio.md").read_text(encoding="utf-8")


def test_the_example_is_a_valid_program() -> None:
    example = GUIDE.partition("```yaml\n")[2].partition("```")[0]
    document = msgspec.yaml.decode(example.encode())
    program = msgspec.convert(document["programs"][0], ProgramEntry)
    assert list(program_problems(program, "programs[0]", ())) == []
    assert msgspec.convert(document["facilities"][0]["programs"][0], EnrolmentEntry).kw == 120.5
