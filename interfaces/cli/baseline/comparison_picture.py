"""The chart of a comparison of baseline methods: one SVG without scripts, for light and dark surroundings."""

from html import escape
from math import log10

from domain.baseline.comparison.scores import MOST_BIAS, MethodOverall
from interfaces.cli.baseline.comparison_report import ComparisonDocument, share
from interfaces.svg import label, shape
from interfaces.svg import picture as svg

WIDTH, TOP, ROW, BOTTOM = 980, 104, 52, 78
ERROR_LEFT, ERROR_RIGHT = 232, 566
BIAS_LEFT, BIAS_RIGHT = 676, 900
ERROR_TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
REACHES = (0.02, 0.04, 0.1, 0.2, 0.5)
"""Reaches of the axis of the bias, to both sides."""
MOST_DOTS = 300
"""Dots of a method: with more facilities, evenly spaced ones in order of their error."""
SPREAD = (0, 8, -8, 4, -4, 12, -12)
"""Vertical offsets of dots one after the other, so that neighbours can be told apart."""

STYLE = """
svg{--back:#fff;--ink:#1b1f24;--quiet:#57606a;--line:#d0d7de;--dot:#2f6fb0;--hot:#a8480a;--pick:#eaf2fb;--band:#e6f4ea}
@media (prefers-color-scheme:dark){svg{--back:#14181d;--ink:#e8eaed;--quiet:#a5aeb8;--line:#3a424b;--dot:#82b5ea;
--hot:#f2a35e;--pick:#1d2a38;--band:#1c3326}}
text{font:13px system-ui,-apple-system,"Segoe UI",sans-serif;fill:var(--ink)}
.title{font-size:18px;font-weight:600}.quiet{fill:var(--quiet)}.small{font-size:12px}.strong{font-weight:600}
.end{text-anchor:end}.middle{text-anchor:middle}.back{fill:var(--back)}.pick{fill:var(--pick)}.band{fill:var(--band)}
.dot{fill:var(--dot);opacity:.5}.grid{stroke:var(--line)}.zero{stroke:var(--quiet)}
.mean{stroke:var(--ink);stroke-width:3}.hot{stroke:var(--hot);stroke-width:3}.hotfill{fill:var(--hot)}
"""


def picture(document: ComparisonDocument) -> str:
    """Each method's error and bias: a dot for each facility, a bar for the figure over all of them."""
    height = TOP + ROW * len(document.overall) + BOTTOM
    title = f"Baseline methods on days without a DR event, {document.window} local"
    days = sum(facility.days for facility in document.facilities.values())
    counted = (
        f"{_counted(len(document.facilities), 'facility', 'facilities')}, {_counted(days, 'day', 'days')}"
    )
    parts = [
        shape("title", escape(title), id="t") + shape("desc", escape(_description(document)), id="d"),
        f"<style>{STYLE}</style>",
        shape("rect", class_="back", width=WIDTH, height=height),
        label(title, class_="title", x=24, y=32),
        label(f"{counted}; baseline minus metered load, as shares of its mean", class_="quiet", x=24, y=54),
        *_panels(document, height),
    ]
    for row, method in enumerate(document.overall):
        parts += _row(document, method, TOP + ROW * row)
    parts += _legend(height)
    lines = (f"{part}\n" for part in ("", *parts))
    named = {"xmlns": "http://www.w3.org/2000/svg", "role": "img", "aria_labelledby": "t d"}
    return svg(WIDTH, height, lines, **named) + "\n"


def _description(document: ComparisonDocument) -> str:
    lines = [
        f"{method}: CVRMSE {share(one.cvrmse_geomean)}, median bias {share(one.bias_median, signed=True)}"
        for method, one in document.overall.items()
    ]
    return "; ".join([*lines, f"recommended: {document.recommended or 'none'}"])


def _panels(document: ComparisonDocument, height: int) -> list[str]:
    """Recommended row, headings, and the grids with the figures of their axes."""
    end, parts = height - BOTTOM, []
    if document.recommended is not None:
        top = TOP + ROW * list(document.overall).index(document.recommended)
        parts.append(shape("rect", class_="pick", x=12, y=top, width=WIDTH - 24, height=ROW, rx=6))
    parts.append(label("CVRMSE (logarithmic)", class_="strong", x=ERROR_LEFT, y=TOP - 14))
    parts.append(label("bias", class_="strong", x=BIAS_LEFT, y=TOP - 14))
    for tick in ERROR_TICKS:
        x = _error_x(tick)
        parts.append(shape("line", class_="grid", x1=x, x2=x, y1=TOP, y2=end))
        parts.append(label(f"{tick:.0%}", class_="quiet small middle", x=x, y=end + 17))
    reach = _reach(document)
    left, right = _bias_x(-MOST_BIAS, reach), _bias_x(MOST_BIAS, reach)
    parts.append(shape("rect", class_="band", x=left, y=TOP, width=right - left, height=end - TOP))
    for tick in (-reach, -reach / 2, 0.0, reach / 2, reach):
        x = _bias_x(tick, reach)
        parts.append(shape("line", class_="grid" if tick else "zero", x1=x, x2=x, y1=TOP, y2=end))
        parts.append(label(share(tick, signed=bool(tick)), class_="quiet small middle", x=x, y=end + 17))
    return parts


def _row(document: ComparisonDocument, method: str, top: int) -> list[str]:
    scores, middle, reach = document.overall[method], top + ROW // 2, _reach(document)
    parts = [label(method, class_="strong", x=24, y=middle + 1)]
    under = "recommended" if method == document.recommended else _refused(scores)
    parts.append(label(under, class_="quiet small", x=24, y=middle + 17))
    for number, (facility_id, error, bias) in enumerate(_dots(document, method)):
        y = middle + SPREAD[number % len(SPREAD)]
        name = shape(
            "title", escape(f"{facility_id}: CVRMSE {share(error)}, bias {share(bias, signed=True)}")
        )
        parts += [
            shape("circle", name, class_="dot", cx=x, cy=y, r=3.5)
            for x in (_error_x(error), _bias_x(bias, reach))
        ]
    hot = scores.hot
    figures = (
        (scores.cvrmse_geomean, hot.cvrmse_geomean, ERROR_RIGHT + 14, False),
        (scores.bias_median, hot.bias_median, BIAS_RIGHT + 14, True),
    )
    for figure, on_hot_days, x_text, is_bias in figures:
        for value, css, half in ((on_hot_days, "hot", 11), (figure, "mean", 17)):
            if value is not None:
                x = _bias_x(value, reach) if is_bias else _error_x(value)
                parts.append(shape("line", class_=css, x1=x, x2=x, y1=middle - half, y2=middle + half))
        parts.append(label(share(figure, signed=is_bias), class_="strong", x=x_text, y=middle - 2))
        parts.append(
            label(share(on_hot_days, signed=is_bias), class_="small hotfill", x=x_text, y=middle + 15)
        )
    return parts


def _dots(document: ComparisonDocument, method: str) -> list[tuple[str, float, float]]:
    """Facility, error and bias in order of the error."""
    scores = [(facility_id, one.methods[method]) for facility_id, one in document.facilities.items()]
    dots = [
        (facility_id, score.cvrmse, score.bias)
        for facility_id, score in scores
        if score.cvrmse is not None and score.bias is not None
    ]
    dots.sort(key=lambda dot: (dot[1], dot[0]))
    every = -(-len(dots) // MOST_DOTS) or 1
    return dots[::every]


def _refused(scores: MethodOverall) -> str:
    return f"{_counted(scores.refused, 'day', 'days')} refused" if scores.refused else ""


def _legend(height: int) -> list[str]:
    y = height - 24
    bars = "".join(
        shape("line", class_=css, x1=x, x2=x, y1=y - 14, y2=y + 5) for css, x in (("mean", 150), ("hot", 540))
    )
    words = (
        (42, "one facility"),
        (160, "over facilities: geometric mean of CVRMSE, median of bias"),
        (550, "the same on the hottest days"),
        (770, "bias of a recommended one"),
    )
    return [
        shape("circle", class_="dot", cx=30, cy=y - 4, r=3.5),
        shape("rect", class_="band", x=740, y=y - 13, width=22, height=17),
        bars,
        *(label(text, class_="small", x=x, y=y) for x, text in words),
    ]


def _error_x(value: float) -> float:
    """The place on the logarithmic axis; a value beyond it stands at its end."""
    low, high = log10(ERROR_TICKS[0]), log10(ERROR_TICKS[-1])
    place = (log10(max(value, ERROR_TICKS[0])) - low) / (high - low)
    return round(ERROR_LEFT + min(place, 1.0) * (ERROR_RIGHT - ERROR_LEFT), 1)


def _bias_x(value: float, reach: float) -> float:
    place = (min(max(value, -reach), reach) + reach) / (2 * reach)
    return round(BIAS_LEFT + place * (BIAS_RIGHT - BIAS_LEFT), 1)


def _reach(document: ComparisonDocument) -> float:
    """Contains nine tenths of the facilities' biases; those beyond stand at the end of the axis."""
    biases = sorted(
        abs(score.bias)
        for facility in document.facilities.values()
        for score in facility.methods.values()
        if score.bias is not None
    )
    wanted = biases[int(0.9 * (len(biases) - 1))] if biases else 0.0
    return next((reach for reach in REACHES if reach >= wanted), REACHES[-1])


def _counted(number: int, one: str, several: str) -> str:
    return f"{number:,} {one if number == 1 else several}"
