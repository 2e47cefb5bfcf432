"""The text of a portfolio file, YAML or JSON, as a document of plain values."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import yaml

_TYPED = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "timestamp"))
_MOST_SHOWN = 40
_ENTRY = re.compile(r"[a-z]+\[[0-9]+\]")
_ID_OF = {"utilities": "utility_id", "programs": "program_id", "facilities": "facility_id"}


class DocumentInvalid(ValueError):
    """`problems` names each value that cannot be read and each doubled key, with its path and line."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


class Document(NamedTuple):
    value: Any
    ids: dict[str, str]
    """The path of an entry, `facilities[0]` -> its id."""


def read_document(content: bytes) -> Document:
    """Raises DocumentInvalid, yaml.YAMLError, UnicodeDecodeError or RecursionError."""
    loader = yaml.CSafeLoader(content)
    try:
        root = loader.get_single_node()
        ids: dict[str, str] = {}
        problems = list(_problems(loader, root, ids))
        if problems:
            raise DocumentInvalid(named_by_id(problems, ids))
        return Document(None if root is None else loader.construct_document(root), ids)
    finally:
        loader.dispose()


def named_by_id(problems: Iterable[str], ids: dict[str, str]) -> Iterator[str]:
    """Each problem, "path: why", with the id of the entry in which it is."""
    for problem in problems:
        entry = _ENTRY.match(problem)
        name = None if entry is None else ids.get(entry.group())
        yield problem if name is None else f"{problem} ({name})"


def _problems(loader: yaml.CSafeLoader, root: Any, ids: dict[str, str]) -> Iterator[str]:
    """The values that construction would fail at, or lose; each aliased value once."""
    waiting, seen = [("", root)], set[int]()
    while waiting:
        path, node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            names = set[str]()
            inside = list[tuple[str, Any]]()
            for key, value in node.value:
                name = key.value if isinstance(key, yaml.ScalarNode) else "?"
                inner = f"{path}.{name}" if path else name
                if isinstance(key, yaml.ScalarNode) and name in names:
                    yield f"{inner}: stands there twice, in line {_line(key)} again; keep one"
                names.add(name)
                if (
                    _ENTRY.fullmatch(path)
                    and name == _ID_OF.get(path.partition("[")[0])
                    and isinstance(value, yaml.ScalarNode)
                ):
                    ids[path] = value.value[:_MOST_SHOWN]
                inside += ((inner, key), (inner, value))
            waiting += reversed(inside)
        elif isinstance(node, yaml.SequenceNode):
            waiting += ((f"{path}[{n}]", node.value[n]) for n in reversed(range(len(node.value))))
        elif isinstance(node, yaml.ScalarNode) and node.tag in _TYPED:
            try:
                loader.construct_object(node)
            except (ValueError, OverflowError) as error:
                shown, why = node.value[:_MOST_SHOWN], str(error).partition(";")[0]
                yield f"{path or 'the document'}: {shown} in line {_line(node)} is no date or number ({why})"


def _line(node: Any) -> int:
    return int(node.start_mark.line) + 1
