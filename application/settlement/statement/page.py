"""The frame of a printable statement: one HTML page without script, in which every number links to its origin.

An origin is a path, as "rule/capacity.rate" or "step/fac-001/2026-07-14T18:00:00Z". Where the page has no element for
it, the number links to the nearest one above it.
"""

import re
from collections.abc import Iterable, Sequence
from html import escape
from urllib.parse import quote

STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #16202b; --soft: #45525f; --faint: #5c6977; --line: #dde3ea;
 --strong: #b9c3ce; --wash: #f4f6f8; --accent: #0a6b62; --baseline: #7a5af0; --load: #16202b; --delivered: #14713f;
 --fill: rgb(20 113 63 / 22%); --bad: #b0241c; --warn: #8a5300; --warn-wash: #fdf0d8; --target: #b0241c; }
@media (prefers-color-scheme: dark) { :root { --paper: #141b21; --ink: #e6edf3; --soft: #b3bfca; --faint: #93a1ae;
 --line: #26313b; --strong: #42505d; --wash: #1a232b; --accent: #4fcbb8; --baseline: #a896ff; --load: #e6edf3;
 --delivered: #5ccf8f; --fill: rgb(92 207 143 / 22%); --bad: #ff8b80; --warn: #f0b35a; --warn-wash: #33270f;
 --target: #ff8b80; } }
@media print { :root { color-scheme: light; --paper: #fff; --ink: #000; --soft: #333; --faint: #555; --line: #ccc;
 --strong: #888; --wash: #f4f4f4; --accent: #0a6b62; --baseline: #7a5af0; --load: #000; --delivered: #14713f;
 --fill: rgb(20 113 63 / 22%); --bad: #b0241c; --warn: #8a5300; --warn-wash: #fdf0d8; --target: #b0241c; }
 body { max-width: none !important; padding: 0 !important; font-size: 9pt !important; }
 a { text-decoration: none !important; }
 h2 { break-after: avoid; } tr, figure, .keep { break-inside: avoid; } thead { display: table-header-group; }
 td { overflow-wrap: anywhere !important; }
 .scroll { overflow: visible !important; } }
@page { margin: 14mm 13mm; }
*, *::before, *::after { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 62rem; background: var(--paper); color: var(--ink); font: 15px/1.45
 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", Arial, sans-serif;
 font-variant-numeric: tabular-nums; }
h1 { font-size: 1.35rem; line-height: 1.25; margin: 0; } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
p { margin: .3rem 0; } .soft { color: var(--soft); } .faint { color: var(--faint); font-size: .87em; }
header { display: flex; flex-wrap: wrap; justify-content: space-between; gap: .5rem 2rem; padding-bottom: 1rem;
 border-bottom: 2px solid var(--ink); }
.total { text-align: right; } .total strong { display: block; font-size: 1.6rem; line-height: 1.2; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: .6rem 1.5rem; margin: 1rem 0; }
dt { color: var(--faint); font-size: .82em; } dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; } caption { text-align: left;
 color: var(--faint); font-size: .87em; padding-bottom: .3rem; }
th { text-align: left; font-weight: 600; font-size: .84em; color: var(--soft); vertical-align: bottom; }
th, td { padding: .28rem .6rem .28rem 0; border-bottom: 1px solid var(--line); } td { vertical-align: top;
 overflow-wrap: break-word; } th:last-child, td:last-child { padding-right: 0; }
.n { text-align: right; white-space: nowrap; } .formula { overflow-wrap: normal; } tfoot td { font-weight: 700;
 border-top: 2px solid var(--strong); border-bottom: 0; }
a { color: inherit; text-decoration: underline; text-decoration-color: var(--strong); text-decoration-thickness: 1px;
 text-underline-offset: 3px; } a:hover { color: var(--accent); text-decoration-color: currentcolor; }
a:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 2px; }
:target { background: var(--warn-wash); scroll-margin-top: 4rem; }
.minus { color: var(--bad); } .flag { border-left: 3px solid var(--warn); background: var(--warn-wash);
 padding: .45rem .8rem; margin: .5rem 0; } ul { margin: .3rem 0; padding-left: 1.2rem; }
code { overflow-wrap: anywhere; }
figure { margin: 1rem 0; } figcaption { color: var(--soft); font-size: .87em; } svg { display: block; width: 100%;
 height: auto; } svg text { fill: var(--faint); font-size: 11px; } .grid { stroke: var(--line); stroke-width: 1; }
.base { fill: none; stroke: var(--baseline); stroke-width: 2; stroke-dasharray: 6 3; } .load { fill: none;
 stroke: var(--load); stroke-width: 2; } .done { fill: var(--fill); stroke: var(--delivered); stroke-width: 1; }
.goal { fill: none; stroke: var(--target); stroke-width: 1.5; stroke-dasharray: 2 3; } .less { fill: none;
 stroke: var(--bad); } .zero { stroke: var(--strong); } svg .b { fill: var(--baseline); } svg .l { fill: var(--load); }
svg .d { fill: var(--delivered); } svg .t { fill: var(--target); }
.drawing { overflow-x: auto; }
@media (max-width: 40rem) { .drawing svg { min-width: 38rem; } body { padding: .9rem; font-size: 14px; }
 .total { text-align: left; } }
"""
NOTHING = '<span class="faint">-</span>'


def anchor(origin: str) -> str:
    """The id of the element that an origin names."""
    return quote(origin, safe="/.:-_~")


def number(text: str | None, origin: str) -> str:
    """A number with a link to where it comes from; a dash where it is unknown."""
    if text is None:
        return NOTHING
    minus = ' class="minus"' if text.startswith("-") else ""
    return f'<a{minus} href="#{anchor(origin)}" data-origin="{escape(origin)}">{escape(text)}</a>'


def cell(content: str, *, at: str = "") -> str:
    """A cell of HTML; `at`: it is the element of that origin."""
    return f"<td{_id(at)}>{content}</td>"


def text_cell(text: str, *, at: str = "") -> str:
    return cell(escape(text), at=at)


def number_cell(text: str | None, origin: str) -> str:
    return f'<td class="n">{number(text, origin)}</td>'


def row(cells: Iterable[str], *, at: str = "") -> str:
    return f"<tr{_id(at)}>{''.join(cells)}</tr>"


def table(columns: Sequence[str], rows: Iterable[str], *, caption: str = "", foot: str = "") -> str:
    """`columns`: headings; one that begins with "#" is over numbers."""
    heads = "".join(
        f'<th scope="col" class="n">{escape(name[1:])}</th>'
        if name.startswith("#")
        else f'<th scope="col">{escape(name)}</th>'
        for name in columns
    )
    said = f"<caption>{escape(caption)}</caption>" if caption else ""
    footer = f"<tfoot>{foot}</tfoot>" if foot else ""
    label = escape(caption or columns[0])
    return (
        f'<div class="scroll" tabindex="0" role="group" aria-label="{label}"><table>{said}'
        f"<thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody>{footer}</table></div>"
    )


def section(title: str, content: str, *, at: str = "") -> str:
    """Empty where there is no content."""
    return f"<section{_id(at)}><h2>{escape(title)}</h2>{content}</section>" if content else ""


def drawing(svg: str, caption: str = "") -> str:
    """A picture that scrolls where the screen is too narrow for it."""
    said = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    scrolled = f'<div class="drawing" tabindex="0" role="group" aria-label="Chart">{svg}</div>'
    return f'<figure class="keep">{scrolled}{said}</figure>'


def fields(entries: Iterable[tuple[str, str]], *, at: str = "") -> str:
    """Name and HTML of each fact; `at`: each is the element of its name below that origin."""
    shown = (
        f"<div{_id(f'{at}/{name}' if at else '')}><dt>{escape(name)}</dt><dd>{content}</dd></div>"
        for name, content in entries
    )
    return f"<dl>{''.join(shown)}</dl>"


def page(title: str, body: Iterable[str]) -> str:
    """The whole document."""
    content = _linked("\n".join(part for part in body if part))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>{content}</body></html>\n"
    )


def _id(origin: str) -> str:
    return f' id="{anchor(origin)}"' if origin else ""


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
TOP = "top"
_ID, _LINK = re.compile(r' id="([^"]*)"'), re.compile(r' href="#([^"]*)"')


def _linked(content: str) -> str:
    """Each link leads to an element of the page: its own, or the nearest above it."""
    ids = set(_ID.findall(content))

    def nearest(match: re.Match[str]) -> str:
        target = first = match[1]
        while target and target not in ids:
            first, target = target, target.rpartition("/")[0]
        above = SECTIONS.get(first, "")
        return f' href="#{target or (above if above in ids else TOP)}"'

    return _LINK.sub(nearest, content)
