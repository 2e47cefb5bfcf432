// A DR event's window on a chart: baseline, forecast, target, metered load and what was delivered.
import { Chart } from "../components/chart.js";
import { Empty, Loaded, Panel } from "../components/parts.js";
import { html, useMemo } from "../dom.js";
import { clock, count } from "../format.js";
import { byStart, known } from "./portfolio_load.js";
import { useQuery } from "../query.js";
import { serverNow } from "../server_clock.js";

const QUARTER_MS = 900_000;

/** The value of the quarter-hour that `at` lies in. */
const quarterOf = (at) => Math.floor(at / QUARTER_MS) * QUARTER_MS;

const LEAST_AROUND_MS = 1_800_000;

/** What is drawn: as much before and after the window as it lasts, half an hour at least, of what there is. */
function shownOf(found, row) {
  const [starts, ends] = [Date.parse(row.starts_at), Date.parse(row.ends_at)];
  const around = Math.max(LEAST_AROUND_MS, ends - starts);
  const whole = (at) => Math.floor(at / QUARTER_MS) * QUARTER_MS;
  return [Math.max(Date.parse(found.starts_at), whole(starts - around)), Math.min(Date.parse(found.ends_at), whole(ends + around + QUARTER_MS - 1))];
}

function timesOf(found, row) {
  const step = found.step_s * 1000;
  const [from, to] = shownOf(found, row);
  return Array.from({ length: Math.round((to - from) / step) }, (_, n) => from + n * step);
}

/** Every line on the times of the load, so that one pointer tells of all. */
function seriesOf(found, row) {
  const times = timesOf(found, row);
  const load = byStart(found.steps, (step) => known(step, found.facilities));
  const quantiles = byStart(found.forecast, (step) => step.kw);
  const measured = byStart(found.measured, (step) => step);
  const [starts, ends] = [Date.parse(row.starts_at), Date.parse(row.ends_at)];
  const inWindow = (at) => at >= starts && at < ends;
  const each = (value) => times.map((at) => value(quarterOf(at), at) ?? null);
  const baseline = each((quarter) => measured.get(quarter)?.baseline_kw);
  const expected = each((quarter, at) => (inWindow(at) ? measured.get(quarter)?.baseline_kw ?? quantiles.get(quarter)?.p50 : null));
  const drawn = times.map((at) => load.get(at) ?? null);
  const series = [
    { id: "p90", label: "Forecast, 90 %", colour: "series-forecast", hidden: true, step: true, values: each((q) => quantiles.get(q)?.p90) },
    { id: "p10", label: "Forecast, 10 %", colour: "series-forecast", hidden: true, step: true, values: each((q) => quantiles.get(q)?.p10) },
    { id: "p50", label: "Forecast", colour: "series-forecast", line: "dashed", step: true, values: each((q) => quantiles.get(q)?.p50) },
    { id: "baseline", label: "Baseline", colour: "series-baseline", line: "dotted", step: true, width: 2.5, values: baseline },
    { id: "target", label: "Load at target", colour: "series-target", line: "dashed", step: true, values: expected.map((kw) => (kw === null ? null : kw - row.target_kw)) },
    { id: "load", label: "Metered load", colour: "series-load", width: 2, values: drawn },
    { id: "under", label: "Load below the baseline", colour: "series-delivered", hidden: true, step: true, values: baseline.map((kw, n) => (inWindow(times[n]) && kw !== null ? drawn[n] : null)) },
  ];
  return { times, series: series.filter(({ values }) => values.some((value) => value !== null)) };
}

function LoadChart({ found, row, at }) {
  const { times, series } = useMemo(() => seriesOf(found, row), [found, row]);
  const [starts, ends] = [Date.parse(row.starts_at), Date.parse(row.ends_at)];
  const spans = useMemo(() => [{ from: starts, to: ends, label: "window", kind: "window" }], [starts, ends]);
  const now = at ?? serverNow();
  const minute = Math.floor(now / 60_000);
  const marks = useMemo(
    () => [...(row.prepare_at ? [{ at: Date.parse(row.prepare_at), label: "prepare" }] : []), { at: minute * 60_000, label: at === null ? "now" : clock(new Date(at).toISOString()), tone: "accent" }],
    [row.prepare_at, minute, at],
  );
  const ids = series.map(({ id }) => id);
  const bands = [
    ids.includes("p90") && { label: "80 % interval", high: "p90", low: "p10" },
    ids.includes("under") && { label: "Delivered", high: "baseline", low: "under", colour: "delivered-fill" },
  ].filter(Boolean);
  if (!series.length) {
    return html`<${Empty} title="Nothing to draw yet">Neither a forecast nor a reading of these facilities is known around the window.</${Empty}>`;
  }
  return html`<${Chart} label=${`Load of ${found.facilities} facilities from ${clock(found.starts_at)} to ${clock(found.ends_at)}, window ${clock(row.starts_at)} to ${clock(row.ends_at)}`}
    times=${times} series=${series} bands=${bands} spans=${spans} marks=${marks} from=${times[0]} to=${shownOf(found, row)[1]} />`;
}

/** `asOf`: a moment or null for now. */
export function DREventLoad({ row, asOf }) {
  const path = row.starts_at ? `/api/dr-events/${row.dr_event_id}/load${asOf ? `?as_of=${encodeURIComponent(asOf)}` : ""}` : null;
  const live = asOf ? {} : { topics: [`dr-event:${row.dr_event_id}`, "telemetry"], everyMs: 60_000 };
  const query = useQuery(path, live);
  const note = query.data && `${count(query.data.facilities)} facilities that serve; the forecast it was planned by`;
  return html`<${Panel} title="The window" note=${note}>
    ${path
      ? html`<${Loaded} query=${query} height="22rem">${(found) => html`<${LoadChart} found=${found} row=${row} at=${asOf ? Date.parse(asOf) : null} />`}</${Loaded}>`
      : html`<${Empty} title="No window yet">The utility has cancelled it before it was notified.</${Empty}>`}
  </${Panel}>`;
}
