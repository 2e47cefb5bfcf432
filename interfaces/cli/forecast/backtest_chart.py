"""The chart of a backtest: one self-contained HTML file with inline SVG and no scripts."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape

import numpy as np

from application.forecast.backtest import OURS, FacilityScore
from application.ports.forecast.load_forecaster import FacilityHistory
from application.ports.forecast.rolling_forecasts import FacilityRun
from domain.time_series.windows import FloatArray
from interfaces.svg import label, shape
from interfaces.svg import picture as svg

MOST_FACILITIES = 60
WIDTH, HEIGHT, MARGIN = 760, 180, 40
SHOWN_DAYS = 7
STYLE = (
    "body{font:14px system-ui,sans-serif;margin:2em;max-width:60em}svg{width:100%;height:auto}"
    ".bar{fill:#4878a8}.worse{fill:#b04a3a}.band{fill:#4878a8;opacity:.25}.p50{stroke:#4878a8}"
    ".metered{stroke:#333}polyline{fill:none;stroke-width:1.5}line{stroke:#999}text{font-size:11px;fill:#333}"
)


def picture(
    scores: Sequence[FacilityScore], runs: Mapping[str, FacilityRun], histories: Mapping[str, FacilityHistory]
) -> str:
    """The HTML chart: each facility's error beside the last-week baseline's, and its last days."""
    shown = [score for score in scores if "day_ahead" in score.spans][:MOST_FACILITIES]
    parts = [
        "<!doctype html><meta charset=utf-8><title>Backtest</title>",
        f"<style>{STYLE}</style><h1>Backtest, day ahead</h1>",
        "<p>RMSE over that of the same hour a week before; the line is 1.</p>",
        _bars(shown),
        "<p>Below, the last days: metered (black), forecast from each midnight (blue), the 80 % interval.</p>",
    ]
    for score in shown:
        span = score.spans["day_ahead"]
        parts.append(
            f"<h2>{escape(score.facility_id)}</h2><p>{escape(score.model)}; RMSE {span.methods[OURS].rmse_kw:.2f} kW, "
            f"{span.coverage_80:.0%} in the interval</p>"
        )
        parts.append(_days(runs[score.facility_id], histories[score.facility_id]))
    return "\n".join(parts)


def _bars(scores: Sequence[FacilityScore]) -> str:
    ratios = [one.spans["day_ahead"].ratio("last_week") or 0.0 for one in scores]
    scale = (WIDTH - 4 * MARGIN) / max(1.1, *ratios)
    rows = []
    for number, (score, ratio) in enumerate(zip(scores, ratios, strict=True)):
        y = 16 * number
        kind = "worse" if ratio > 1 else "bar"
        rows.append(
            label(score.facility_id[:20], x=0, y=y + 11)
            + shape("rect", class_=kind, x=3 * MARGIN, y=y + 2, width=float(ratio * scale), height=11)
            + label(f"{ratio:.2f}", x=float(3 * MARGIN + ratio * scale + 4), y=y + 11)
        )
    height = 16 * len(scores)
    at_1 = float(3 * MARGIN + scale)
    return svg(WIDTH, height, [*rows, shape("line", x1=at_1, x2=at_1, y1=0, y2=height)])


def _days(run: FacilityRun, history: FacilityHistory) -> str:
    """The last SHOWN_DAYS day-ahead forecasts in sequence."""
    step_s = history.mean_kw.step_s
    steps = 86_400 // step_s
    ahead = run.kw[:, -SHOWN_DAYS:, :steps]
    starts_s = run.origins_s[-SHOWN_DAYS:, None] + step_s * np.arange(steps)
    index = (starts_s - int(history.mean_kw.starts_at.timestamp())) // step_s
    known = index < len(history.mean_kw.values)
    metered = np.where(
        known, history.mean_kw.values[np.minimum(index, len(history.mean_kw.values) - 1)], np.nan
    )
    low, middle, high = (part.ravel() for part in ahead)
    truth = metered.ravel()
    bottom = float(np.nanmin([np.nanmin(low), *truth[np.isfinite(truth)]]))
    top = float(np.nanmax([np.nanmax(high), *truth[np.isfinite(truth)]]))

    def points(values: FloatArray) -> list[str]:
        x = MARGIN + (WIDTH - MARGIN) * np.arange(len(values)) / max(len(values) - 1, 1)
        y = HEIGHT - 20 - (HEIGHT - 30) * (values - bottom) / max(top - bottom, 1e-9)
        return [f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True) if np.isfinite(b)]

    first, last = (datetime.fromtimestamp(int(at), UTC).date() for at in (starts_s[0, 0], starts_s[-1, -1]))
    parts = [
        shape("polygon", class_="band", points=" ".join([*points(high), *reversed(points(low))])),
        shape("polyline", class_="p50", points=" ".join(points(middle))),
        shape("polyline", class_="metered", points=" ".join(points(truth))),
        label(f"{top:.1f} kW", x=0, y=12),
        label(f"{bottom:.1f} kW", x=0, y=HEIGHT - 20),
        label(f"{first} to {last}, UTC", x=MARGIN, y=HEIGHT - 4),
    ]
    return svg(WIDTH, HEIGHT, parts)
