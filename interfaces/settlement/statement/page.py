"""The frame of a printable statement: one HTML page without script, in which every number links to its origin.

An origin is a path, as "rule/capacity.rate" or "step/fac-001/2026-07-14T18:00:00Z". Where the page has no element for
it, the number links to the nearest one above it. So a page is put together of content, and written when all of it is
there.
"""

from collections.abc import Collection, Iterable, Sequence
from html import escape
from importlib.resources import files
from typing import TypeAlias
from urllib.parse import quote

import msgspec

STYLE = "\n" + files("interfaces.settlement.statement").joinpath("page.css").read_text("utf-8")
"""The style element of a page, to the byte: `Content-Security-Policy` names its hash."""
NOTHING = '<span class="faint">-</span>'
TOP = "top"
SECTIONS = {
    "line": "lines",
    "unit": "intervals",
    "facility": "facilities",
    "step": "steps",
    "measurement": "measurements",
    "revision": "changes",
    "domain-event": "event",
    "period": "events",
}
"""First part of an origin -> the section that lists such elements."""


class Link(msgspec.Struct, frozen=True):
    """A number that links to the element of its origin."""

    text: str
    origin: str


class Target(msgspec.Struct, frozen=True):
    """The id of an element, as links name it."""

    origin: str


Content: TypeAlias = "str | Link | Target | Sequence[Content]"
"""HTML, with the links and ids in it."""


def number(text: str | None, origin: str) -> Content:
    """A number with a link to where it comes from; a dash where it is unknown."""
    return NOTHING if text is None else Link(text, origin)


def element(name: str, content: Content, *, css: str = "", at: str = "") -> Content:
    """An element of HTML with its class; `at`: it is the element of that origin."""
    start = f'<{name} class="{css}"' if css else f"<{name}"
    return start, Target(at) if at else "", ">", content, f"</{name}>"


def cell(content: Content, *, at: str = "") -> Content:
    return element("td", content, at=at)


def text_cell(text: str) -> Content:
    return cell(escape(text))


def number_cell(text: str | None, origin: str) -> Content:
    return element("td", number(text, origin), css="n")


def row(cells: Sequence[Content], *, at: str = "") -> Content:
    return element("tr", cells, at=at)


def foot(name: str, amount: str, origin: str, *, columns: int) -> Content:
    """The last row of a table: an amount, with its name across the columns before."""
    return row([f'<td colspan="{columns}">{escape(name)}</td>', number_cell(amount, origin)])


def table(
    columns: Sequence[str], rows: Sequence[Content], *, caption: str = "", last: Content = ""
) -> Content:
    """`columns`: headings; one that begins with "#" is over numbers. `last`: the row of its foot."""
    heads = "".join(
        f'<th scope="col" class="n">{escape(name[1:])}</th>'
        if name.startswith("#")
        else f'<th scope="col">{escape(name)}</th>'
        for name in columns
    )
    label = escape(caption or columns[0])
    return (
        f'<div class="scroll" tabindex="0" role="group" aria-label="{label}"><table>',
        f"<caption>{escape(caption)}</caption>" if caption else "",
        f"<thead><tr>{heads}</tr></thead><tbody>",
        rows,
        "</tbody>",
        element("tfoot", last) if last else "",
        "</table></div>",
    )


def section(title: str, content: Content, *, at: str = "") -> Content:
    """Empty where there is no content."""
    return element("section", (f"<h2>{escape(title)}</h2>", content), at=at) if content else ""


def drawing(svg: str, caption: str = "") -> str:
    """A picture that scrolls where the screen is too narrow for it."""
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    scrolled = f'<div class="drawing" tabindex="0" role="group" aria-label="Chart">{svg}</div>'
    return f'<figure class="keep">{scrolled}{below}</figure>'


def fields(entries: Iterable[tuple[str, Content]], *, at: str = "") -> Content:
    """Name and HTML of each fact; `at`: each is the element of its name below that origin."""
    rows = [
        element("div", (f"<dt>{escape(name)}</dt>", element("dd", content)), at=f"{at}/{name}" if at else "")
        for name, content in entries
    ]
    return element("dl", rows)


def page(title: str, body: Iterable[Content]) -> str:
    """The whole document."""
    pieces: list[str | Link | Target] = []
    for number_, part in enumerate(part for part in body if part):
        _add(pieces, ("\n" if number_ else "", part))
    targets = {_anchor(piece.origin) for piece in pieces if isinstance(piece, Target)}
    content = "".join(piece if isinstance(piece, str) else _written(piece, targets) for piece in pieces)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>{content}</body></html>\n"
    )


def _add(pieces: list[str | Link | Target], content: Content) -> None:
    if isinstance(content, str | Link | Target):
        pieces.append(content)
        return
    for part in content:
        _add(pieces, part)


def _written(piece: Link | Target, targets: Collection[str]) -> str:
    if isinstance(piece, Target):
        return f' id="{_anchor(piece.origin)}"'
    minus = ' class="minus"' if piece.text.startswith("-") else ""
    place = _nearest(_anchor(piece.origin), targets)
    return f'<a{minus} href="#{place}" data-origin="{escape(piece.origin)}">{escape(piece.text)}</a>'


def _anchor(origin: str) -> str:
    """The id of the element that an origin names."""
    return quote(origin, safe="/.:-_~")


def _nearest(place: str, targets: Collection[str]) -> str:
    """An element of the page: that of the place, or the nearest one above it."""
    first = place
    while place and place not in targets:
        first, place = place, place.rpartition("/")[0]
    above = SECTIONS.get(first, "")
    return place or (above if above in targets else TOP)
