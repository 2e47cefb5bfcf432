// A facility's load as it was metered, with its gaps and what was corrected, beside what had been foreseen.
import { get } from "../api.js";
import { Chart } from "../components/chart.js";
import { Download } from "../components/download.js";
import { Empty, Loaded, Panel, Segments } from "../components/parts.js";
import { html, useMemo, useState } from "../dom.js";
import { count, hundredths, kw, moment, span } from "../format.js";
import { useLoaded, useQuery } from "../query.js";
import { serverNow } from "../server_clock.js";

const HOUR_MS = 3_600_000;
const QUARTER_MS = 900_000;
const RANGES = [
  ["day", "24 h", 24],
  ["three", "3 days", 72],
  ["week", "7 days", 168],
  ["weeks", "6 weeks", 1008],
];
const AHEAD_H = { day: 12, three: 24, week: 24, weeks: 0 };
const LEAD_H = 1;
const MOST_GAPS = 200;

const HISTORY_COLUMNS = ["starts_at", "kw", "kwh", "min_kw", "max_kw", "coverage_pct"].map((name) => ({ label: name, value: (step) => step[name] }));

const iso = (ms) => new Date(ms).toISOString();
const path = (id, what) => `/api/facilities/${encodeURIComponent(id)}/${what}`;

/** The newest whole quarter-hour: the address stays the same until the next one. */
const lastQuarter = () => Math.floor(serverNow() / QUARTER_MS) * QUARTER_MS;

/** What was foreseen an hour ahead, and the forecast in force from now on; null where there is none. */
async function foreseen(id, from, to, signal) {
  const none = (error) => (error.status === 404 ? null : Promise.reject(error));
  const [back, ahead] = await Promise.all([
    get(path(id, `forecast?lead_time_h=${LEAD_H}&from=${iso(from)}&to=${iso(to)}`), { signal }).catch(none),
    get(path(id, "forecast"), { signal }).catch(none),
  ]);
  return { back, ahead };
}

/** Stretches of steps of which nothing, or too little, is known: `{from, to, known}`. */
export function gapsOf(steps, stepMs) {
  const gaps = [];
  for (const step of steps) {
    if (step.kw !== null && step.coverage_pct >= 99.5) continue;
    const at = Date.parse(step.starts_at);
    const last = gaps.at(-1);
    if (last && last.to === at && last.known === (step.kw !== null)) last.to += stepMs;
    else gaps.push({ from: at, to: at + stepMs, known: step.kw !== null });
  }
  return gaps;
}

function seriesOf(history, forecast, aheadH, now) {
  const stepMs = history.step_s * 1000;
  const first = Date.parse(history.steps[0].starts_at);
  const last = now + aheadH * HOUR_MS;
  const times = Array.from({ length: Math.ceil((last - first) / stepMs) }, (_, n) => first + n * stepMs);
  const load = new Map(history.steps.map((step) => [Date.parse(step.starts_at), step.kw]));
  const quantiles = new Map();
  for (const step of forecast?.back?.steps || []) if (step.kw) quantiles.set(Date.parse(step.starts_at), step.kw);
  for (const step of forecast?.ahead?.steps || []) quantiles.set(Date.parse(step.starts_at), step.kw);
  const of = (name) => times.map((at) => quantiles.get(at)?.[name] ?? null);
  const foreseenSeries = [
    { id: "p90", label: "Forecast, 90 %", colour: "series-forecast", hidden: true, step: true, values: of("p90") },
    { id: "p10", label: "Forecast, 10 %", colour: "series-forecast", hidden: true, step: true, values: of("p10") },
    { id: "p50", label: "Forecast, 1 h ahead", colour: "series-forecast", line: "dashed", width: 1.5, step: true, values: of("p50") },
  ];
  const metered = { id: "load", label: "Metered load", colour: "series-load", step: true, width: 1.8, values: times.map((at) => load.get(at) ?? null) };
  return { times, series: quantiles.size ? [...foreseenSeries, metered] : [metered], to: last };
}

function Drawn({ id, history, forecast, aheadH, drEvents, corrections }) {
  const now = lastQuarter();
  const { times, series, to } = useMemo(() => seriesOf(history, forecast, aheadH, now), [history, forecast, aheadH, now]);
  const gaps = useMemo(() => gapsOf(history.steps, history.step_s * 1000), [history]);
  const spans = useMemo(
    () => [
      ...drEvents.map((row) => ({ from: Date.parse(row.starts_at), to: Date.parse(row.ends_at), label: row.utility_event_id, kind: "window" })),
      ...gaps.slice(-MOST_GAPS).map(({ from, to: until, known }) => ({ from, to: until, label: known ? "" : "no readings", kind: "gap" })),
    ],
    [drEvents, gaps],
  );
  const marks = useMemo(
    () => [...(aheadH ? [{ at: now, label: "now", tone: "accent" }] : []), ...corrections.map(({ at }) => ({ at, label: "corrected", tone: "warn" }))],
    [now, aheadH, corrections],
  );
  const missingMs = gaps.reduce((sum, gap) => sum + (gap.known ? 0 : gap.to - gap.from), 0);
  return html`
    <${Chart} label=${`Load of ${id} since ${moment(iso(times[0]))}`} times=${times} series=${series} spans=${spans} marks=${marks} floor=${0}
      bands=${series.length > 1 ? [{ label: "80 % interval", high: "p90", low: "p10" }] : []} from=${times[0]} to=${to} />
    <p class="small soft">${gaps.length === 0
      ? "Complete: no reading is missing in this time."
      : `${count(gaps.length)} ${gaps.length === 1 ? "stretch" : "stretches"} with missing readings${missingMs ? `, ${span(missingMs / 1000)} without any` : ""}; hatched above.`}
      ${corrections.map(({ at, text }) => html` <strong key=${at}>${text}</strong>`)}</p>`;
}

/** `drEvents`: rows of DR events it is asked for; `corrections`: `{at, text}` of measurements that were replaced. */
export function FacilityHistory({ id, tz, drEvents, corrections }) {
  const [range, choose] = useState("day");
  const hours = RANGES.find(([name]) => name === range)[2];
  const to = lastQuarter();
  const from = to - hours * HOUR_MS;
  const resolution = hours > 168 ? "1h" : "15m";
  const aligned = resolution === "1h" ? [Math.floor(from / HOUR_MS) * HOUR_MS, Math.floor(to / HOUR_MS) * HOUR_MS] : [from, to];
  const query = useQuery(path(id, `history?from=${iso(aligned[0])}&to=${iso(aligned[1])}&resolution=${resolution}`));
  const leads = hours <= 168 ? `${id} foreseen ${from} ${to}` : null;
  const forecast = useLoaded(leads, (signal) => foreseen(id, from, to, signal));
  const stale = query.data?.stale ? "as last known: the store does not answer" : `by ${resolution === "1h" ? "hours" : "quarter-hours"}`;
  return html`<${Panel} title="Load" note=${`${stale}; the facility is in ${tz}`} end=${html`${query.data?.steps.length > 0 && html`<${Download} name=${`${id}-${range}`} columns=${HISTORY_COLUMNS} rows=${() => query.data.steps} />`}<${Segments} label="How far back" options=${RANGES} value=${range} choose=${choose} />`}>
    <${Loaded} query=${query} height="21rem">${(history) =>
      history.steps.some((step) => step.kw !== null)
        ? html`<${Drawn} key=${range} id=${id} history=${history} forecast=${forecast.data} aheadH=${AHEAD_H[range]} drEvents=${drEvents} corrections=${corrections} />`
        : html`<${Empty} title="No readings in this time">Its meters have said nothing; import history with gridproof telemetry import, or choose a longer time.</${Empty}>`}
    </${Loaded}>
  </${Panel}>`;
}

/** Measurements that late or corrected readings have replaced. */
export function correctionsOf(parts) {
  return parts
    .filter((part) => part.measurement?.revision > 1)
    .map(({ measurement, delivered_kw: now }) => ({
      at: Date.parse(measurement.corrected_at),
      text: `Corrected ${moment(measurement.corrected_at)}: ${kw(measurement.previous_kw)} became ${kw(now)} kW (coverage ${hundredths(measurement.coverage_pct, 0)}).`,
    }));
}
