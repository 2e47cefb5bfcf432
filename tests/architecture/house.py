"""The meter: how much there is in the house, counted the same way before and after a change.

python tests/architecture/house.py             # print the figures
python tests/architecture/house.py --write     # and renew the last column of the table in docs/architecture.md
"""

import ast
import re
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.architecture.source_tree import PACKAGES, ROOT, parsed, python_files

PAGE = ROOT / "docs/architecture.md"
HEAD = "| figure | at 8d76bdf0 | now |\n|---|---|---|\n"
TEMPLATES = (".html", ".css", ".sql", ".tpl")

# What served commits of the week before 0.2.0, which nobody has ever installed.
COMPATIBILITY_NAMES = re.compile(
    r"newer_topics|measurement_forms|FormerBmsWork|used_signatures|UsedSignatures|CheckpointV1|FORMER_KEY|ingest_handover"
    r"|\bPUBLISHED\b|4cd57d2|5ac5b021|release 0\.1\b"
)
WITHOUT_NOUN = {"of", "those", "that", "these", "what", "which"}
NOUN_FOLLOWS = {
    "one",
    "whether",
}  # "One row of the log" has its noun, "One of the rows" and "Whether it is" have not
NO_NOUN = {
    "of",
    "that",
    "which",
    "who",
    "for",
    "with",
    "in",
    "it",
    "they",
    "this",
    "these",
    "those",
    "he",
    "she",
    "to",
    "by",
    "each",
}

Definition = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def product() -> list[Path]:
    return python_files(*PACKAGES)


def is_text(node: ast.AST) -> bool:
    """True for a text that stands alone: a docstring, or the note behind a field."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def counted_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """The node and all below it, without imports and without texts that stand alone."""
    if not (isinstance(node, ast.Import | ast.ImportFrom) or is_text(node)):
        yield node
        for child in ast.iter_child_nodes(node):
            yield from counted_nodes(child)


def statements() -> int:
    return sum(isinstance(node, ast.stmt) for file in product() for node in counted_nodes(parsed(file)))


def syntax_nodes() -> int:
    return sum(1 for file in product() for _ in counted_nodes(parsed(file)))


def text_lines() -> int:
    """Lines of templates, SQL and CSS in files, and of long texts in Python, so that moving one changes nothing."""
    files = [
        file
        for folder in (*PACKAGES, "deploy")
        for file in (ROOT / folder).rglob("*")
        if "vendor" not in file.parts
    ]
    in_files = sum(
        len(file.read_text().splitlines())
        for file in files
        if file.suffix in TEMPLATES or (file.parent.name == "templates" and file.is_file())
    )
    return in_files + sum(lines_of_texts(parsed(file)) for file in product())


def lines_of_texts(tree: ast.AST) -> int:
    """Lines of the texts that stretch over several lines and do not stand alone."""
    total = 0
    for node in counted_nodes(tree):
        is_string = isinstance(node, ast.JoinedStr) or (
            isinstance(node, ast.Constant) and isinstance(node.value, str)
        )
        if is_string and node.end_lineno is not None and node.end_lineno > node.lineno:  # type: ignore[attr-defined]
            total += node.end_lineno - node.lineno + 1  # type: ignore[attr-defined]
    return total


def work_streams() -> int:
    """Streams of JetStream that hold work: names that end in `_WORK`."""
    texts = (
        node.value for file in product() for node in ast.walk(parsed(file)) if isinstance(node, ast.Constant)
    )
    return len({text for text in texts if isinstance(text, str) and re.fullmatch(r"[A-Z]+_WORK", text)})


def ports() -> int:
    """Protocols of `application/ports`."""
    classes = (node for file in python_files("application/ports") for node in ast.walk(parsed(file)))
    return sum(
        isinstance(node, ast.ClassDef)
        and any(ast.unparse(base).startswith("Protocol") for base in node.bases)
        for node in classes
    )


def compatibility_names() -> int:
    return sum(len(COMPATIBILITY_NAMES.findall(file.read_text())) for file in product())


@cache
def definitions() -> list[tuple[Definition, str | None]]:
    """Every module, class and function with its docstring."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = (node for file in product() for node in ast.walk(parsed(file)))
    return [(node, ast.get_docstring(node)) for node in nodes if isinstance(node, kinds)]


def lacks_its_noun(docstring: str) -> bool:
    """True if the first word only points at a noun: "Those that count", "Of the page", "One of them".

    >>> [
    ...     lacks_its_noun(text)
    ...     for text in ("Those that count.", "One of them.", "One row of the log.", "The rows.")
    ... ]
    [True, True, False, False]
    """
    words = [word.strip(",.:;()`").lower() for word in docstring.split()[:2]]
    if not words:
        return False
    return words[0] in WITHOUT_NOUN or (words[0] in NOUN_FOLLOWS and words[-1] in NO_NOUN)


def docstrings_without_noun() -> int:
    return sum(lacks_its_noun(docstring) for _, docstring in definitions() if docstring)


def documented(counts: Callable[[Definition], bool]) -> str:
    """The share of those definitions that have a docstring, in percent."""
    docstrings = [docstring for node, docstring in definitions() if counts(node)]
    return f"{100 * sum(map(bool, docstrings)) / len(docstrings):.1f} %"


def is_public_function(node: Definition) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_")


def doc_words() -> int:
    """Words of README, CONTRIBUTING, CHANGELOG and docs, without decision records and runbooks."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    counted = (page for page in pages if not {"adr", "runbooks"} & set(page.parts))
    return sum(len(page.read_text().split()) for page in counted)


def decision_records() -> int:
    return len(list((ROOT / "docs/adr").glob("[0-9]*.md")))


FIGURES: dict[str, Callable[[], int | str]] = {
    "statements of Python, without imports and texts": statements,
    "nodes of the syntax tree, without the same": syntax_nodes,
    "lines of templates, SQL and CSS, and of long texts in Python": text_lines,
    "streams of JetStream for work": work_streams,
    "ports": ports,
    "names that serve earlier commits": compatibility_names,
    "docstrings that lack their noun": docstrings_without_noun,
    "classes with a docstring": lambda: documented(lambda node: isinstance(node, ast.ClassDef)),
    "public functions with a docstring": lambda: documented(is_public_function),
    "words of docs, without decision records and runbooks": doc_words,
    "decision records": decision_records,
}


def written(figure: int | str) -> str:
    return figure if isinstance(figure, str) else f"{figure:,}"


def measured() -> dict[str, str]:
    """The name of each figure -> its value now, as the page writes it."""
    return {name: written(count()) for name, count in FIGURES.items()}


def rows_of(page: str) -> dict[str, tuple[str, str]]:
    """The name of each figure -> the columns "before" and "now" of the page."""
    rows = page.partition(HEAD)[2].partition("\n\n")[0].splitlines()
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows if row.startswith("|")]
    return {name: (before, now) for name, before, now in cells}


def page_with(now: dict[str, str], page: str) -> str:
    """The page with the last column made anew; the column "before" stays as it is."""
    start, _, rest = page.partition(HEAD)
    before = rows_of(page)
    rows = "".join(
        f"| {name} | {before.get(name, ('', ''))[0] or figure} | {figure} |\n" for name, figure in now.items()
    )
    after = rest.partition("\n\n")
    return start + HEAD + rows + "\n" + after[2]


if __name__ == "__main__":
    figures = measured()
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(page_with(figures, PAGE.read_text()))
    sys.stdout.write("".join(f"{figure:>10}  {name}\n" for name, figure in figures.items()))
