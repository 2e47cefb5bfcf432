// Which readings of a facility's meters are missing, by hour of the last day.
import { Loaded, Panel } from "../components/parts.js";
import { Table } from "../components/table.js";
import { html, useMemo } from "../dom.js";
import { count, moment } from "../format.js";
import { useQuery } from "../query.js";

const EVERY_MS = 60_000;
const MOST_NAMED = 3;

/** The hours from the first with a reading on in which something is missing, each with its meters: `{hour, meters}`. */
function shortHours(found) {
  const first = found.hours.findIndex((hour) => hour.readings > 0);
  if (first < 0) return [];
  return found.hours
    .slice(first)
    .filter((hour) => hour.meters_short > 0)
    .map((hour) => ({
      hour,
      meters: found.meters
        .map((meter) => ({ id: meter.meter_id, short: meter.short_hours.find((one) => one.starts_at === hour.starts_at) }))
        .filter(({ short }) => short && (short.missing || short.missing_seqs || short.unusable)),
    }));
}

const most = ({ short }) => Math.max(short.missing, short.missing_seqs) + short.unusable;

function named(meters) {
  const sorted = [...meters].sort((a, b) => most(b) - most(a));
  const more = sorted.length - MOST_NAMED;
  return sorted.slice(0, MOST_NAMED).map((one) => `${one.id} (${count(most(one))})`).join(", ") + (more > 0 ? ` and ${more} more` : "");
}

const COLUMNS = [
  { id: "hour", label: "Hour", header: true, sort: ({ hour }) => hour.starts_at, cell: ({ hour }) => html`<time datetime=${hour.starts_at}>${moment(hour.starts_at)}</time>` },
  { id: "missing", label: "Missing", number: true, sort: ({ hour }) => hour.missing, cell: ({ hour }) => count(hour.missing) },
  { id: "lost", label: "Lost on the way", number: true, sort: ({ hour }) => hour.missing_seqs, cell: ({ hour }) => count(hour.missing_seqs) },
  { id: "unusable", label: "Unusable", number: true, sort: ({ hour }) => hour.unusable, cell: ({ hour }) => count(hour.unusable) },
  { id: "arrived", label: "Arrived", number: true, sort: ({ hour }) => hour.readings, cell: ({ hour }) => count(hour.readings) },
  { id: "meters", label: "Meters", wrap: true, cell: ({ meters }) => named(meters) },
];

function summaryOf(found) {
  const first = found.hours.find((hour) => hour.readings > 0);
  if (!first) return "Its meters sent nothing in this time.";
  const since = first === found.hours[0] ? "" : ` Nothing arrived before ${moment(first.starts_at)}.`;
  const silent = found.meters.filter((meter) => !meter.newest_at).map((meter) => meter.meter_id);
  const never = silent.length ? ` Without any reading: ${silent.slice(0, MOST_NAMED).join(", ")}${silent.length > MOST_NAMED ? ` and ${silent.length - MOST_NAMED} more` : ""}.` : "";
  const strays = found.unlisted_meters.length ? ` Not in the portfolio: ${found.unlisted_meters.slice(0, MOST_NAMED).join(", ")}.` : "";
  return `${since}${never}${strays}`.trim();
}

export function MissingReadings({ found }) {
  const rows = useMemo(() => shortHours(found), [found]);
  const summary = summaryOf(found);
  const whole = !rows.length && found.hours.some((hour) => hour.readings > 0);
  return html`
    ${whole && html`<p class="small soft">Complete: no reading of ${count(found.meters.length)} ${found.meters.length === 1 ? "meter" : "meters"} is missing.</p>`}
    ${summary && html`<p class="small soft">${summary}</p>`}
    ${rows.length > 0 && html`<${Table} caption="Missing readings by hour" columns=${COLUMNS} rows=${rows} rowKey=${({ hour }) => hour.starts_at} first="-hour" />`}`;
}

export function FacilityGaps({ id }) {
  const query = useQuery(`/api/facilities/${encodeURIComponent(id)}/gaps`, { everyMs: EVERY_MS });
  return html`<${Panel} title="Missing readings" note="of the last day, by hour">
    <${Loaded} query=${query} lines=2>${(found) => html`<${MissingReadings} found=${found} />`}</${Loaded}>
  </${Panel}>`;
}
