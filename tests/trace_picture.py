"""A picture of a trace: the paths from its root to chosen spans, one line for each span, as SVG."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from html import escape

from tests.span_collector import CollectedSpan

COLOURS = {
    "web": "#1f6feb",
    "decide": "#8250df",
    "dispatch": "#cf222e",
    "watch": "#1a7f37",
    "compute": "#bf3989",
}
OTHER = "#57606a"
ROW, TOP, INDENT, WIDTH = 22, 64, 13, 1_180
STARTS_AT, TAKES_AT = WIDTH - 190, WIDTH - 20


def path_to_root(span: CollectedSpan, by_id: dict[str, CollectedSpan]) -> list[CollectedSpan]:
    """The span, its parent, and so on, as far as they were collected."""
    path = [span]
    while (parent := by_id.get(path[-1].parent_id)) is not None:
        path.append(parent)
    return path


def paths(
    spans: Sequence[CollectedSpan], chosen: Iterable[Callable[[CollectedSpan], bool]]
) -> list[CollectedSpan]:
    """The spans on the paths to the last span that fits each condition."""
    by_id, on_paths = {span.span_id: span for span in spans}, dict[str, CollectedSpan]()
    for fits in chosen:
        last = max((span for span in spans if fits(span)), key=lambda span: span.started_ns)
        on_paths |= {span.span_id: span for span in path_to_root(last, by_id)}
    return list(on_paths.values())


def in_order(
    spans: Sequence[CollectedSpan], parent_id: str | None = None, depth: int = 0
) -> Iterator[tuple[int, CollectedSpan]]:
    """(depth, span), each below its parent."""
    known = {span.span_id for span in spans}
    below = [
        span
        for span in spans
        if (span.parent_id == parent_id if parent_id is not None else span.parent_id not in known)
    ]
    for span in sorted(below, key=lambda one: one.started_ns):
        yield depth, span
        yield from in_order(spans, span.span_id, depth + 1)


def drawn(spans: Sequence[CollectedSpan], title: str) -> str:
    """The SVG of these spans."""
    rows = list(in_order(spans))
    began, height = min(span.started_ns for span in spans), TOP + ROW * len(rows) + 16
    lines = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-size="12" '
            'font-family="ui-monospace, Menlo, Consolas, monospace">'
        ),
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="16" y="26" font-size="15" font-weight="bold">{escape(title)}</text>',
        f'<text x="{STARTS_AT}" y="50" text-anchor="end" fill="{OTHER}">begins after</text>',
        f'<text x="{TAKES_AT}" y="50" text-anchor="end" fill="{OTHER}">takes</text>',
        *(_legend(number, process) for number, process in enumerate(COLOURS)),
        *(line for number, (depth, span) in enumerate(rows) for line in _row(number, depth, span, began)),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _legend(number: int, process: str) -> str:
    x = 16 + 100 * number
    return (
        f'<rect x="{x}" y="40" width="10" height="10" rx="2" fill="{COLOURS[process]}"/>'
        f'<text x="{x + 15}" y="50">{process}</text>'
    )


def _row(number: int, depth: int, span: CollectedSpan, began: int) -> Iterator[str]:
    x, y = 16 + INDENT * depth, TOP + ROW * number
    colour = COLOURS.get(span.process, OTHER)
    if number % 2 == 0:
        yield f'<rect x="8" y="{y}" width="{WIDTH - 16}" height="{ROW}" fill="#f6f8fa"/>'
    yield f'<rect x="{x}" y="{y + 5}" width="12" height="12" rx="2" fill="{colour}"/>'
    yield f'<text x="{x + 18}" y="{y + 15}">{escape(span.name)}{" (failed)" if span.failed else ""}</text>'
    starts_s, takes_ms = (span.started_ns - began) / 1e9, (span.ended_ns - span.started_ns) / 1e6
    yield f'<text x="{STARTS_AT}" y="{y + 15}" text-anchor="end" fill="{OTHER}">{starts_s:,.3f} s</text>'
    yield f'<text x="{TAKES_AT}" y="{y + 15}" text-anchor="end" fill="{OTHER}">{takes_ms:,.1f} ms</text>'
