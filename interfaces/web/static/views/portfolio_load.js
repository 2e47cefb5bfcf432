// What all facilities draw together against what was foreseen, some hours back and ahead.
import { get } from "../api.js";
import { Chart } from "../components/chart.js";
import { Panel, ProblemNote, Segments, Skeleton } from "../components/parts.js";
import { html, useMemo, useState } from "../dom.js";
import { clock, count, kw } from "../format.js";
import { serverNow } from "../server_clock.js";
import { useLoaded } from "../query.js";
import { looks } from "../states.js";

const HOUR_MS = 3_600_000;
const STEP_MS = 900_000;
const BACK_H = [6, 3, 1];
const AHEAD_H = 18;
const MOST_MISSING = 0.05;
const RANGES = [[6, "6 h"], [24, "24 h"], [72, "3 days"]];
const PART = 500;
const MOST_PARTS = 100;
const NOTHING = [];

/** A sum of which much is missing would look like a reduction: it is a gap. */
export const known = (step, facilities) => (step.missing > facilities * MOST_MISSING ? null : step.kw);

/** Values of steps by when they begin, in ms. */
export const byStart = (steps, value) => new Map(steps.map((step) => [Date.parse(step.starts_at), value(step)]));

const iso = (ms) => new Date(ms).toISOString();

/** The steps of the oldest forecast in force that there is, some hours back. */
async function foreseenBefore(now, signal) {
  for (const hours of BACK_H) {
    const at = Math.floor((now - hours * HOUR_MS) / STEP_MS) * STEP_MS;
    try {
      return (await get(`/api/portfolio/forecast?as_of=${iso(at)}`, { signal })).steps;
    } catch (error) {
      if (error.status !== 404) throw error; // nothing was foreseen then: ask of a later moment
    }
  }
  return [];
}

/** The forecast in force some hours ago, and the newest from now on: `{asOf, steps, newest}`. */
async function foreseen(signal) {
  const newest = await get("/api/portfolio/forecast", { signal });
  const earlier = await foreseenBefore(Date.parse(newest.as_of), signal);
  const first = Date.parse(newest.steps[0].starts_at);
  const until = Date.parse(newest.as_of) + AHEAD_H * HOUR_MS;
  const steps = [...earlier.filter((step) => Date.parse(step.starts_at) < first), ...newest.steps].filter(
    (step) => Date.parse(step.starts_at) < until,
  );
  return { asOf: Date.parse(newest.as_of), steps, newest };
}

/** What is foreseen for the present quarter-hour, {p10, p50, p90}. */
export function foreseenNow(forecast) {
  const now = serverNow();
  return forecast?.steps.find((step) => Date.parse(step.starts_at) <= now && now < Date.parse(step.ends_at))?.kw ?? null;
}

export const useForeseen = () => useLoaded("portfolio forecast", foreseen, { everyMs: 60_000 });

/** Of many facilities the load comes in parts, which add up; a quarter-hour that not all of them tell of is left out. */
async function drawn(hours, signal) {
  const sums = new Map();
  let [facilities, parts, asked, cursor] = [0, 0, 0, ""];
  do {
    const part = await get(`/api/portfolio/load?hours=${hours}&limit=${PART}${cursor && `&cursor=${encodeURIComponent(cursor)}`}`, { signal });
    facilities += part.facilities;
    parts += part.steps.length ? 1 : 0;
    for (const step of part.steps) {
      const { kw: sum = null, missing = 0, told = 0 } = sums.get(step.starts_at) || {};
      sums.set(step.starts_at, { starts_at: step.starts_at, kw: step.kw === null ? sum : (sum ?? 0) + step.kw, missing: missing + step.missing, told: told + 1 });
    }
    cursor = part.next_cursor;
  } while (cursor && (asked += 1) < MOST_PARTS);
  return { facilities, steps: [...sums.values()].filter(({ told }) => told === parts) };
}

/** What all drew together in the last hours, imported readings too: `{facilities, steps}`. */
export const useDrawn = (hours) => useLoaded(`portfolio load ${hours}`, (signal) => drawn(hours, signal), { everyMs: 60_000 });

/** Either may be missing; what there is is drawn. */
function LoadChart({ found, measured }) {
  const steps = found?.steps ?? NOTHING;
  const asOf = found?.asOf ?? Date.parse(measured.steps.at(-1).starts_at) + STEP_MS;
  const chart = useMemo(() => {
    const load = byStart(measured?.steps || [], (step) => known(step, measured.facilities));
    const quantiles = byStart(steps, (step) => step.kw);
    const times = [...new Set([...load.keys(), ...quantiles.keys()])].sort((a, b) => a - b);
    const of = (name) => times.map((at) => quantiles.get(at)?.[name] ?? null);
    const series = [
      { id: "p90", label: "Forecast, 90 %", colour: "series-forecast", hidden: true, step: true, values: of("p90") },
      { id: "p10", label: "Forecast, 10 %", colour: "series-forecast", hidden: true, step: true, values: of("p10") },
      { id: "p50", label: "Forecast", colour: "series-forecast", line: "dashed", step: true, values: of("p50") },
      { id: "load", label: "Load", colour: "series-load", step: true, width: 2.5, values: times.map((at) => load.get(at) ?? null) },
    ];
    return { times, series: steps.length ? series : series.slice(-1) };
  }, [steps, measured]);
  const marks = useMemo(() => [{ at: asOf, label: `now ${clock(iso(asOf))}` }], [asOf]);
  const to = steps.length ? Date.parse(steps.at(-1).ends_at) : asOf;
  return html`<${Chart} ...${chart} label=${`Load and forecast of the portfolio until ${clock(iso(to))}`} floor=${0}
    bands=${steps.length ? [{ label: "80 % interval", high: "p90", low: "p10" }] : NOTHING} marks=${marks} from=${chart.times[0]} to=${to} />`;
}

function quality(newest) {
  const counts = Object.entries(newest.counts_as).map(([name, number]) => `${count(number)} ${looks("quality", name).words}`);
  const without = newest.without_forecast ? `, ${newest.without_forecast} without` : "";
  return `${counts.join(", ")}${without}`;
}

/** `query`: of `useForeseen`. Where one is refused the other is drawn, and why stands above it. */
export function PortfolioLoad({ query }) {
  const [hours, choose] = useState(RANGES[0][0]);
  const measured = useDrawn(hours);
  const note = query.data && `forecasts: ${quality(query.data.newest)}`;
  const isWaiting = [query, measured].some(({ data, problem }) => data === undefined && !problem);
  const isKnown = query.data || measured.data?.steps.length;
  return html`<${Panel} title="Load against forecast" note=${note} className="span-8" end=${html`<${Segments} label="How far back" options=${RANGES} value=${hours} choose=${choose} />`}>
    <div aria-busy=${String(isWaiting)}>
      ${[query, measured].map(({ problem, retry }, n) => problem && html`<${ProblemNote} key=${n} problem=${problem} retry=${retry} />`)}
      ${isKnown ? html`<${LoadChart} found=${query.data} measured=${measured.data} />` : isWaiting && html`<${Skeleton} height="20rem" />`}
    </div>
  </${Panel}>`;
}

export const bandHint = (now) => (now ? `foreseen ${kw(now.p10)} – ${kw(now.p90)}` : null);
