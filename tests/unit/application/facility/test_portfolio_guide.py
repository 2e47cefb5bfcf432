"""The guide to the portfolio file explains every field of a program and an enrolment, and its example is valid."""

import re
from pathlib import Path

import msgspec

from application.facility.portfolio_entries import EnrolmentEntry, ProgramEntry
from application.facility.program_contract import program_problems
from domain.baseline import BaselineParameters
from domain.program import WindowTerms

GUIDE = (Path(__file__).parents[4] / "docs" / "guides" / "portfolio.md").read_text(encoding="utf-8")


def test_every_field_is_explained() -> None:
    tables = set(re.findall(r"`([a-z_]+)`", "\n".join(re.findall(r"^\| `[^|]*", GUIDE, flags=re.MULTILINE))))
    assert tables >= {*ProgramEntry.__struct_fields__, *EnrolmentEntry.__struct_fields__}
    named = set(re.findall(r"`([a-z_]+)`", GUIDE))
    assert named >= {*BaselineParameters.__struct_fields__, *WindowTerms.__struct_fields__}


def test_the_example_is_a_valid_program() -> None:
    example = GUIDE.partition("```yaml\n")[2].partition("```")[0]
    document = msgspec.yaml.decode(example.encode())
    program = msgspec.convert(document["programs"][0], ProgramEntry)
    assert list(program_problems(program, "programs[0]", ())) == []
    assert msgspec.convert(document["facilities"][0]["programs"][0], EnrolmentEntry).kw == 120.5
