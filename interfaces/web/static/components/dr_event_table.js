// DR events as a table, the newest first.
import { html, useMemo, useState } from "../dom.js";
import { NONE, between, count, kw, percent, readable, words } from "../format.js";
import { hrefTo } from "../router.js";
import { Countdown } from "./countdown.js";
import { Chip, Meter, Segments } from "./parts.js";
import { Table } from "./table.js";

const delivered = (row) => (row.delivered_kw === null || !row.target_kw ? null : row.delivered_kw / row.target_kw);
/** Each reason once, with the facilities that it is about. */
export function reasonsOf(row) {
  const about = new Map();
  for (const { facility_id: facility, detail, code } of row.reasons) {
    const text = detail || words(code);
    about.set(text, [...(about.get(text) || []), ...(facility && !text.includes(facility) ? [facility] : [])]);
  }
  const told = [...about].map(([text, ids]) => `${ids.length ? `${ids.join(", ")}: ` : ""}${readable(text)}`);
  return row.cancellation_reason ? [row.cancellation_reason, ...told] : told;
}

/** What keeps facilities of an open DR event out, in one chip; null where all are ready. */
export function readinessLook(row, readiness) {
  const found = readiness?.[row.dr_event_id];
  if (!found) return null;
  const out = found.blocked + found.dropped_out;
  const asked = row.facility_ids.length;
  if (out) return { tone: out >= asked ? "bad" : "warn", shape: "triangle", words: `${count(out)} of ${count(asked)} ${found.dropped_out ? "do not serve" : "blocked"}` };
  return { tone: "warn", shape: "half", words: `${count(found.at_risk)} of ${count(asked)} at risk` };
}

function Status({ row, readiness }) {
  const look = readinessLook(row, readiness);
  return html`<span class="row"><${Chip} kind="dr-event" state=${row.status} />${look && html`<${Chip} look=${look} />`}</span>`;
}

/** Facilities were curtailed, and none of them could be measured. */
export const isNotMeasurable = (row) => row.delivered_kw === null && (row.unmeasured_facilities ?? []).length > 0;

const columnsOf = (readiness) => [
  { id: "name", label: "DR event", header: true, sort: (row) => row.utility_event_id, cell: (row) => html`<a href=${hrefTo("dr-events", row.dr_event_id)}>${row.utility_event_id}</a>` },
  { id: "status", label: "Status", sort: (row) => row.status, cell: (row) => html`<${Status} row=${row} readiness=${readiness} />` },
  { id: "window", label: "Window", sort: (row) => row.starts_at, cell: (row) => html`${between(row.starts_at, row.ends_at)} <${Countdown} row=${row} />` },
  { id: "utility", label: "Utility", names: true, sort: (row) => row.utility_id, cell: (row) => row.utility_id },
  { id: "target", label: "Target, kW", number: true, sort: (row) => row.target_kw, cell: (row) => kw(row.target_kw) },
  { id: "delivered", label: "Delivered, kW", number: true, sort: (row) => row.delivered_kw, cell: (row) => (isNotMeasurable(row) ? html`<span class="soft nowrap">not measurable</span>` : kw(row.delivered_kw)) },
  {
    id: "share",
    label: "Share",
    sort: delivered,
    cell: (row) => {
      const share = delivered(row);
      if (share === null) return NONE;
      return html`<span class="row nowrap"><${Meter} share=${share} label=${`${percent(share)} of the target`} />${percent(share)}</span>`;
    },
  },
  { id: "facilities", label: "Facilities", number: true, sort: (row) => row.facility_ids.length, cell: (row) => count(row.facility_ids.length) },
  { id: "outcome", label: "Outcome", cell: (row) => (row.outcome ? html`<${Chip} kind="outcome" state=${row.outcome} />` : NONE) },
];

const MOST_TOLD = 4;

/** Why it was rejected or cancelled, under its row. */
function below(row) {
  if (row.outcome) return null;
  const found = reasonsOf(row);
  if (!found.length) return null;
  const more = found.length - MOST_TOLD;
  return html`<div class="reasons small soft">${found.slice(0, MOST_TOLD).map((text) => html`<span key=${text}>${text}</span>`)}${more > 0 && html`<span>and ${more} more: see the DR event</span>`}</div>`;
}

const OVER = new Set(["completed", "cancelled", "cancelled_while_active", "rejected"]);
const GROUPS = [
  ["all", "All", () => true],
  ["open", "Open", (row) => !OVER.has(row.status)],
  ["completed", "Completed", (row) => row.status === "completed"],
  ["cancelled", "Cancelled", (row) => row.status.startsWith("cancelled")],
  ["rejected", "Rejected", (row) => row.status === "rejected"],
];

/** `readiness`: DR event id -> how many of its facilities are blocked, at risk or dropped out (`/api/portfolio`). */
export function DREventTable({ rows, tall, filter, readiness }) {
  const columns = useMemo(() => columnsOf(readiness), [readiness]);
  const text = useMemo(() => (row) => `${row.utility_event_id} ${row.utility_id} ${row.status} ${row.program_id} ${row.dr_event_id}`, []);
  const [group, setGroup] = useState("all");
  const belongs = GROUPS.find(([name]) => name === group)[2];
  const options = GROUPS.map(([name, words_, is]) => [name, `${words_} ${count(rows.filter(is).length)}`]);
  const shown = useMemo(() => rows.filter(belongs), [rows, belongs]);
  return html`<${Table} caption="DR events" columns=${columns} rows=${shown} download=${filter ? "dr-events" : undefined}
    tools=${filter ? html`<${Segments} label="Which DR events" options=${options} value=${group} choose=${setGroup} />` : undefined} rowKey=${(row) => row.dr_event_id} first="-window" tall=${tall} below=${below}
    text=${filter ? text : undefined} empty=${rows.length ? "None is in this state." : "No DR event yet. A utility posts one to /webhooks/utility/dr-notification."} />`;
}
