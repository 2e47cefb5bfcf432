"""docs/glossary.md: each term is used in another page or is a name of the code, and no term stands in two rows."""

import ast
import re
from collections import Counter
from functools import cache

import pytest

from tests.architecture.source_tree import PACKAGES, ROOT, parsed, python_files
from tests.architecture.table_pages import table_rows

GLOSSARY = ROOT / "docs/glossary.md"
ROWS = table_rows(GLOSSARY, ("term", "meaning"))
SYNONYMS = {row[0]: [term.strip(" `") for term in re.split(r"[,:]", row[0])] for row in ROWS}
"""What stands in the first column -> its terms."""
TERMS = [term for synonyms in SYNONYMS.values() for term in synonyms]


@cache
def other_pages() -> str:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return "\n".join(" ".join(page.read_text().split()).lower() for page in pages if page != GLOSSARY)


@cache
def public_names() -> frozenset[str]:
    """The names of classes and functions of the packages without underscores, in lower case."""
    definitions = ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef
    return frozenset(
        node.name.replace("_", "").lower()
        for file in python_files(*PACKAGES)
        for node in ast.walk(parsed(file))
        if isinstance(node, definitions) and not node.name.startswith("_")
    )


def is_used(term: str) -> bool:
    """Whether another page has the term as words of its own, perhaps in the plural, or the code has it as a name."""
    in_a_page = re.compile(rf"(?<![\w-]){re.escape(term.lower())}(?:s|es|ed|d)?(?![\w-])")
    return bool(in_a_page.search(other_pages())) or re.sub(r"[\W_]", "", term.lower()) in public_names()


@pytest.mark.parametrize("term", TERMS)
def test_a_term_is_used_in_another_page_or_by_the_code(term: str) -> None:
    assert is_used(term)


def test_a_term_that_nothing_uses_is_noticed() -> None:
    assert not is_used("flux capacitor")


def test_each_term_stands_in_one_row() -> None:
    assert [term for term, rows in Counter(TERMS).items() if rows > 1] == []


def test_the_rows_are_in_alphabetical_order_and_complete() -> None:
    assert list(SYNONYMS) == sorted(SYNONYMS, key=str.lower)
    assert all(len(row) == 2 and all(row) for row in ROWS)
