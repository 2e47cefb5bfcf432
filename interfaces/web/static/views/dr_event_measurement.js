// How one facility was measured: every recorded figure, its days with their load, and its revisions.
import { Facts, Loaded, Panel } from "../components/parts.js";
import { Table } from "../components/table.js";
import { html, useEffect, useMemo, useRef } from "../dom.js";
import { NONE, between, clock, count, day, hundredths, kw, momentSeconds, percent, sentence, words } from "../format.js";
import { useQuery } from "../query.js";
import { setOption } from "../router.js";
import { NumberTable, Origin } from "../components/number_table.js";

const PARAMETERS = {
  "x-of-y": (one) => `the ${one.pick} ${one.x} of ${one.y} days, adjustment ${one.adjustment}${one.adjustment === "none" ? "" : `, ${one.cap === null ? "no cap" : `at most ${percent(one.cap)}`}${one.upward_only ? ", upward only" : ""}`}`,
  "meter-before-meter-after": (one) => `the ${count(one.before_s / 60)} minutes before the start`,
  "firm-service-level": (one) => `a level of ${kw(one.level_kw)} kW`,
  regression: (one) => `time of week and temperature, fitted to ${count(one.lookback_days)} days`,
};

function parametersOf({ baseline_method: method, parameters }) {
  return PARAMETERS[method]?.(parameters) || "as the method prescribes";
}

function adjustmentOf({ adjustment, tz }) {
  if (adjustment.value === null) return adjustment.note ? `none: ${adjustment.note}` : "none";
  const of = (value) => (adjustment.kind === "multiplicative" ? `× ${value.toFixed(4)}` : `${value < 0 ? "" : "+"}${kw(value)} kW`);
  return html`${of(adjustment.value)}${adjustment.clipped && html`, clipped${adjustment.raw !== null && ` from ${of(adjustment.raw)}`}`}
    ${adjustment.metered_kw !== null && html`<div class="soft small">${kw(adjustment.metered_kw)} kW metered against ${kw(adjustment.baseline_kw)} kW of the baseline, ${between(adjustment.starts_at, adjustment.ends_at, tz)}${adjustment.missing.length ? `, ${count(adjustment.missing.length)} quarter-hours missing` : ""}</div>`}
    ${adjustment.note && html`<div class="soft small">${adjustment.note}</div>`}`;
}

/** A local day, whatever the zone of the page. */
const dateOf = (date) => day(`${date}T12:00:00Z`, "UTC");

function holidaysOf({ holidays, holidays_of: of }) {
  if (of === "none") return "none: its time zone belongs to no country";
  const whose = of === "program" ? "of the program" : `of ${of}`;
  return `${holidays.length ? holidays.map(dateOf).join(", ") : "none in these days"} (${whose})`;
}

function errorOf({ uncertainty, expected_error: error, baseline_method: method }) {
  if (uncertainty) {
    const { kw_80: eighty, kw_90: ninety, share_80: narrow, share_90: wide } = uncertainty;
    const share = (value) => (value === null ? "" : ` (${percent(value)})`);
    return html`±${kw(eighty)} kW${share(narrow)} at 80 %, ±${kw(ninety)} kW${share(wide)} at 90 % confidence
      <div class="soft small">${count(uncertainty.observations)} hours count as ${count(uncertainty.effective_observations)}, because they follow each other (autocorrelation ${uncertainty.autocorrelation.toFixed(2)})</div>`;
  }
  if (error) {
    return html`bias ${percent(error.bias, 1)}, CVRMSE ${percent(error.cvrmse, 1)}
      <div class="soft small">of the same method on ${count(error.days)} days of this facility without a DR event</div>`;
  }
  return method === "firm-service-level" ? "a contracted level estimates nothing" : "not known: no earlier day could be computed";
}

function Particulars({ id, figures, origin }) {
  const adjustment = adjustmentOf(figures);
  return html`<${Facts} items=${[
    ["Method", html`${figures.baseline_method}${parametersOf(figures) && html`<div class="soft small">${parametersOf(figures)}</div>`}`],
    ["Measured window", `${between(figures.starts_at, figures.ends_at, figures.tz)}, ${figures.tz}`],
    ["Adjustment", adjustment],
    ["Delivered", `${kw(figures.delivered_kw)} kW${figures.clip_delivery ? ", below zero counts as zero" : ""}`],
    ["Error", errorOf(figures)],
    ["Readings", `${hundredths(figures.coverage_pct, 1)} of the window`],
    ["Holidays", holidaysOf(figures)],
    ["DR event days", figures.dr_event_days.length ? figures.dr_event_days.map(dateOf).join(", ") : null],
    ["Data digest", html`<code class="digest">${figures.data_hash}</code>`],
    ["Recorded by", html`<${Origin} id=${id} origin=${origin} />`],
  ]} />`;
}

const QUARTERS = (zone) => [
  { id: "at", label: "Quarter-hour", header: true, cell: (one) => clock(one.starts_at, zone) },
  { id: "baseline", label: "Baseline, kW", number: true, cell: (one) => kw(one.baseline_kw) },
  { id: "adjusted", label: "Adjusted, kW", number: true, cell: (one) => kw(one.adjusted_kw) },
  { id: "metered", label: "Metered, kW", number: true, cell: (one) => (one.metered_kw === null ? html`<span class="faint">missing</span>` : kw(one.metered_kw)) },
  { id: "delivered", label: "Delivered, kW", number: true, cell: (one) => kw(one.delivered_kw) },
];

/** Days that count or were dropped with their load by quarter-hour, then those that were skipped. */
function Days({ figures }) {
  const rows = [
    ...figures.days.map((one) => ({ ...one, why: sentence(one.use), rank: 0 })),
    ...figures.skipped.map((one) => ({ ...one, why: `skipped: ${words(one.why)}`, mean_kw: null, window_kw: [] })),
  ].sort((a, b) => b.day.localeCompare(a.day));
  if (!rows.length) return null;
  const zone = figures.tz || undefined;
  const hasLoad = figures.days.some((one) => one.window_kw.length);
  const columns = [
    { id: "day", label: "Day", header: true, cell: (one) => html`<span class="nowrap">${dateOf(one.day)}</span>` },
    { id: "use", label: "Use", cell: (one) => html`<span class="nowrap">${one.why}</span>` },
    { id: "mean", label: "Mean, kW", number: true, cell: (one) => kw(one.mean_kw) },
    ...(hasLoad
      ? figures.intervals.map((interval, n) => ({ id: `q${n}`, label: clock(interval.starts_at, zone), number: true, cell: (one) => kw(one.window_kw[n]) }))
      : []),
  ];
  return html`<section class="whole"><h3>Days${zone && html` <span class="note">hours in ${zone}</span>`}</h3><${Table} caption="Days of the baseline with their load" columns=${columns} rows=${rows} rowKey=${(one) => one.day} /></section>`;
}

function Regression({ fit }) {
  const slope = (value) => `${value.toFixed(3)} kW/K`;
  const bounds = [...fit.change_points_c.map((point) => point.toFixed(1))];
  const segments = fit.occupied_kw_per_k.map((value, n) => ({
    name: !bounds.length ? "any temperature" : n === 0 ? `below ${bounds[0]} °C` : n === bounds.length ? `above ${bounds[n - 1]} °C` : `${bounds[n - 1]} to ${bounds[n]} °C`,
    value: slope(value),
  }));
  const terms = [
    ...fit.hours.map((one) => ({ name: `${["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"][Math.floor(one.hour_of_week / 24)]}, ${String(one.hour_of_week % 24).padStart(2, "0")}:00, ${one.occupied ? "occupied" : "not occupied"}`, value: `${kw(one.kw)} kW` })),
    ...segments.map((one) => ({ name: `Occupied hours, ${one.name}`, value: one.value })),
    { name: "Other hours, any temperature", value: slope(fit.unoccupied_kw_per_k) },
  ];
  const columns = [
    { id: "name", label: "Term", header: true, cell: (one) => one.name },
    { id: "value", label: "Coefficient", number: true, cell: (one) => one.value },
  ];
  const known = fit.temperatures_c.filter((value) => value !== null);
  return html`<section><h3>Regression</h3>
    <p class="soft small">Fitted to ${count(fit.training_hours)} hours, ${momentSeconds(fit.training_starts_at)} to ${momentSeconds(fit.training_ends_at)}; residuals ${kw(fit.residual_kw)} kW.
      Temperatures of the window: ${Math.min(...known).toFixed(1)} to ${Math.max(...known).toFixed(1)} °C.</p>
    <${Table} caption="Terms of the regression" columns=${columns} rows=${terms} rowKey=${(one) => one.name} /></section>`;
}

function Revisions({ id, revisions }) {
  const columns = useMemo(() => [
    { id: "revision", label: "Revision", header: true, cell: (one) => one.revision },
    { id: "delivered", label: "Delivered, kW", number: true, cell: (one) => kw(one.delivered_kw) },
    { id: "reason", label: "Reason", wrap: true, cell: (one) => one.reason || html`<span class="faint">first measurement</span>` },
    { id: "origin", label: "Comes from", cell: (one) => html`<${Origin} id=${id} origin=${one.origin} />` },
  ], [id]);
  return html`<section><h3>Measurements</h3><${Table} caption="All measurements, the last one in force" columns=${columns} rows=${revisions} rowKey=${(one) => one.revision} /></section>`;
}

/** What `/measurements/{facility}` answers. */
export function Measured({ id, found }) {
  const { figures, revisions, numbers } = found;
  const columns = useMemo(() => QUARTERS(figures?.tz), [figures]);
  const last = revisions.at(-1);
  return html`<div class="measured">
    <section>${figures
      ? html`<${Particulars} id=${id} figures=${figures} origin=${last.origin} />`
      : html`<p>${last ? `Not measurable: ${last.reason}` : "Not measured yet."}</p>`}</section>
    <section><h3>Numbers</h3><${NumberTable} id=${id} numbers=${numbers} caption="Numbers of the facility" /></section>
    ${figures && html`<section><h3>Quarter-hours <span class="note">in ${figures.tz}</span></h3>
      <${Table} caption="Quarter-hours of the window" columns=${columns} rows=${figures.intervals} rowKey=${(one) => one.starts_at} /></section>`}
    ${figures?.regression && html`<${Regression} fit=${figures.regression} />`}
    ${revisions.length > 0 && html`<${Revisions} id=${id} revisions=${revisions} />`}
    ${figures && html`<${Days} figures=${figures} />`}
  </div>`;
}

export function FacilityMeasurement({ id, facility, asOf }) {
  const path = `/api/dr-events/${id}/measurements/${encodeURIComponent(facility)}${asOf ? `?as_of=${encodeURIComponent(asOf)}` : ""}`;
  const query = useQuery(path, asOf ? {} : { topics: [`dr-event:${id}`] });
  const place = useRef(null);
  useEffect(() => place.current?.scrollIntoView({ block: "start" }), [facility, Boolean(query.data)]);
  const close = html`<button class="button small" type="button" onClick=${() => setOption("facility", "")}>Close</button>`;
  return html`<div class="below-bar" ref=${place}><${Panel} title=${`How ${facility} was measured`} id="measured-facility" end=${close}>
    <${Loaded} query=${query} lines=8>${(found) => html`<${Measured} id=${id} found=${found} />`}</${Loaded}>
  </${Panel}></div>`;
}
