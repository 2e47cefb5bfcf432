"""The guide for utilities explains exactly the existing problem types and reasons."""

import re
from pathlib import Path
from typing import get_args

from domain.dr_event.feasibility import RefusalCode
from interfaces.web.problems import PROBLEM_TYPES

GUIDE = (Path(__file__).parents[5] / "docs" / "guides" / "utility.md").read_text(encoding="utf-8")


def test_every_problem_type_is_explained_with_its_status() -> None:
    explained = re.findall(r"^\| (\d{3}) \| `/problems/([a-z-]+)` \|", GUIDE, flags=re.MULTILINE)
    assert {name: int(status) for status, name in explained} == {
        name: problem.status for name, problem in PROBLEM_TYPES.items()
    }


def test_every_reason_of_a_refusal_is_explained() -> None:
    table = GUIDE.partition("The reasons of `infeasible`:")[2]
    first_cells = re.findall(r"^\| ([^|]+) \|", table, flags=re.MULTILINE)
    explained = {code for cell in first_cells for code in re.findall(r"`([a-z_]+)`", cell)}
    assert explained == {*get_args(RefusalCode), "unknown_program"}
