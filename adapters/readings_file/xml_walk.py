"""Reads an XML file as a stream of elements: without a tree, without entities, in bounded memory.

With expat instead of a tree that is cleared: elements that are not needed are never built, and an error has its
line. A document type definition is refused, and with it every entity beyond the five of XML.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol
from xml.parsers import expat

from application.ports.history_import import ReadingsFileError, UnreadableFile

MAX_DEPTH = 64
MAX_TEXT = 2_000
"""The number of characters of one element that are stored; the rest is left out."""
MAX_TOKEN_BYTES = 1_000_000
"""The maximum size of a single tag or comment."""
_CHUNK_BYTES = 65_536
_NAMESPACES = {"http://www.w3.org/2005/Atom": "atom", "http://naesb.org/espi": "espi"}


class Visitor(Protocol):
    """Receives elements as `atom:entry` or `espi:value`; those of other namespaces begin with `?:`."""

    def begin(self, name: str, attributes: dict[str, str], line: int) -> None: ...

    def end(self, name: str, text: str, line: int) -> None:
        """`text` is the text directly before the end tag, without surrounding white space."""
        ...


class _Walk:
    """Passes expat's events on, with the usual prefixes of names."""

    def __init__(self, path: Path, visitor: Visitor) -> None:
        self._path, self._visitor = path, visitor
        self._names: dict[str, str] = {}
        self._text: list[str] = []
        self._text_size = self._depth = 0
        self.parser = expat.ParserCreate(namespace_separator="}")
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.parser.StartElementHandler = self._begin
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._data
        self.events = 0
        """The number of expat's events."""

    def _doctype(self, *_: object) -> None:
        raise self.unreadable("has a document type definition, which is not read; remove it")

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        self.events += 1
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self.unreadable(f"is nested deeper than {MAX_DEPTH}")
        self._text, self._text_size = [], 0
        self._visitor.begin(self._short(name), attributes, self.parser.CurrentLineNumber)

    def _end(self, name: str) -> None:
        self.events += 1
        self._depth -= 1
        text, self._text, self._text_size = "".join(self._text).strip(), [], 0
        self._visitor.end(self._short(name), text, self.parser.CurrentLineNumber)

    def _data(self, data: str) -> None:
        self.events += 1
        if self._text_size < MAX_TEXT:
            self._text.append(data[: MAX_TEXT - self._text_size])
            self._text_size += len(self._text[-1])

    def _short(self, name: str) -> str:
        short = self._names.get(name)
        if short is None:
            namespace, _, local = name.rpartition("}")
            short = f"{_NAMESPACES.get(namespace, '?')}:{local}"
            if len(self._names) < 1_000:
                self._names[name] = short
        return short

    def unreadable(self, problem: str) -> UnreadableFile:
        return UnreadableFile(self._path, self.parser.CurrentLineNumber, problem)


def walk(path: Path, visitor: Visitor) -> Iterator[None]:
    """Pass the whole file to `visitor`. Yields after each piece, so that collected rows can be taken.

    Raises UnreadableFile.
    """
    walking = _Walk(path, visitor)
    silent_bytes = events = 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                walking.parser.Parse(chunk, False)
                silent_bytes = silent_bytes + len(chunk) if walking.events == events else 0
                events = walking.events
                if silent_bytes > MAX_TOKEN_BYTES:
                    raise walking.unreadable(f"has a tag or comment of over {MAX_TOKEN_BYTES} bytes")
                yield
            walking.parser.Parse(b"", True)
            yield
    except expat.ExpatError as error:
        raise UnreadableFile(path, error.lineno, f"cannot be read as XML: {error}") from error
    except ReadingsFileError:
        raise
    except (OSError, LookupError, ValueError) as error:
        raise UnreadableFile(path, None, f"cannot be read as XML: {error}") from error
