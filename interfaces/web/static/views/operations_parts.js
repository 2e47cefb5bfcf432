// What operators look at: read models, queues, suspended BMS, workers and dependencies.
import { Chip, Empty, Meter } from "../components/parts.js";
import { Table } from "../components/table.js";
import { html } from "../dom.js";
import { NONE, count, momentSeconds, percent, readable, sentence, span } from "../format.js";
import { hrefTo } from "../router.js";
import { ageSeconds } from "../server_clock.js";

const BEHIND_S = 30;

/** How a read model is, in a word: stopped, made anew, behind, or up to date. */
export function projectionLook({ stopped_at: stoppedAt, rebuild, lag, lag_s: lagS }) {
  if (stoppedAt !== null) return { tone: "bad", shape: "square", words: "stopped" };
  if (rebuild) return { tone: "busy", shape: "half", words: "rebuilding" };
  if (lagS > BEHIND_S) return { tone: "warn", shape: "triangle", words: "behind" };
  return lag > 0 ? { tone: "busy", shape: "half", words: "catching up" } : { tone: "ok", shape: "check", words: "up to date" };
}

function Rebuild({ rebuild }) {
  if (!rebuild) return NONE;
  const words = `${percent(rebuild.share)} of the log, ${count(rebuild.rows)} rows`;
  return html`<span class="row"><${Meter} share=${rebuild.share} label=${`Rebuild: ${words}`} tone="busy" />${words}</span>`;
}

const PROJECTION_COLUMNS = [
  { id: "name", label: "Read model", header: true, sort: (one) => one.name, cell: (one) => sentence(one.name) },
  { id: "state", label: "State", sort: (one) => projectionLook(one).words, cell: (one) => html`<${Chip} look=${projectionLook(one)} />` },
  { id: "position", label: "Position", number: true, sort: (one) => one.position, cell: (one) => html`${count(one.position)} <span class="faint">of ${count(one.head)}</span>` },
  { id: "lag", label: "Lag", number: true, sort: (one) => one.lag, cell: (one) => count(one.lag) },
  { id: "lag_s", label: "Behind", number: true, sort: (one) => one.lag_s, cell: (one) => (one.lag ? span(one.lag_s) : NONE) },
  { id: "rebuild", label: "Rebuild", cell: (one) => html`<${Rebuild} rebuild=${one.rebuild} />` },
  { id: "why", label: "Stopped because", wrap: true, cell: (one) => (one.stopped_at === null ? NONE : `at ${count(one.stopped_at)}: ${one.stopped_reason}`) },
];

export const Projections = ({ rows }) => html`<${Table} caption="Read models" columns=${PROJECTION_COLUMNS} rows=${rows} rowKey=${(one) => one.name} first="name" empty="No read model." />`;

const bytes = (value) => (value >= 1e9 ? `${(value / 1e9).toFixed(1)} GB` : value >= 1e6 ? `${(value / 1e6).toFixed(1)} MB` : `${count(value / 1e3)} kB`);

function Fill({ queue }) {
  if (queue.bytes === null) return NONE;
  if (queue.most_bytes === null) return bytes(queue.bytes);
  const share = queue.bytes / queue.most_bytes;
  return html`<span class="row nowrap"><${Meter} share=${share} tone=${share > 0.8 ? "bad" : "ok"} label=${`${percent(share)} full`} />${percent(share, 1)} of ${bytes(queue.most_bytes)}</span>`;
}

const QUEUE_COLUMNS = [
  { id: "name", label: "Queue", header: true, cell: (one) => sentence(one.name) },
  { id: "waiting", label: "Waiting", number: true, cell: (one) => count(one.waiting) },
  { id: "oldest", label: "Oldest", number: true, cell: (one) => (one.oldest_s === null ? NONE : span(one.oldest_s)) },
  { id: "fill", label: "Held", cell: (one) => html`<${Fill} queue=${one} />` },
];

export const Queues = ({ rows }) => html`<${Table} caption="Queues" columns=${QUEUE_COLUMNS} rows=${rows} rowKey=${(one) => one.name} empty="No queue." />`;

const BREAKER_COLUMNS = [
  { id: "facility", label: "Facility", header: true, sort: (one) => one.facility_id, cell: (one) => html`<a href=${hrefTo("facilities", one.facility_id)}>${one.facility_id}</a>` },
  { id: "since", label: "Suspended for", sort: (one) => one.since, cell: (one) => html`<span class="nowrap" title=${momentSeconds(one.since)}>${span(ageSeconds(one.since))}</span>` },
  { id: "detail", label: "Detail", wrap: true, cell: (one) => readable(one.detail) },
];

export function Breakers({ rows }) {
  if (!rows.length) return html`<${Empty} title="Every BMS may be called">None has timed out five times in a row.</${Empty}>`;
  return html`<${Table} caption="BMS to which calls are suspended" columns=${BREAKER_COLUMNS} rows=${rows} rowKey=${(one) => one.facility_id} first="since" />`;
}

const ready = (up, needed) => (up ? { tone: "ok", shape: "check", words: "up" } : needed ? { tone: "bad", shape: "cross", words: "down" } : { tone: "warn", shape: "triangle", words: "down, gone on without" });
const RUNNING = { true: { tone: "ok", shape: "check", words: "running" }, false: { tone: "bad", shape: "cross", words: "not running" }, null: { tone: "idle", shape: "ring", words: "not known" } };
const UNSEEN = "it opens no session of the database until it has work; its own /ready tells";
const ITSELF = { name: "web", running: true }; // it has just answered

function States({ label, items }) {
  return html`<ul class="state-list" aria-label=${label}>
    ${items.map(({ name, look, note }) => html`<li key=${name}><span>${sentence(name)}${note && html` <span class="small faint">${note}</span>`}</span><${Chip} look=${look} /></li>`)}
  </ul>`;
}

export const Dependencies = ({ rows }) =>
  html`<${States} label="Dependencies" items=${rows.map(({ name, needed, up, problem }) => ({ name, look: ready(up, needed), note: problem }))} />`;
export const Workers = ({ rows }) => html`<${States} label="Workers" items=${[...rows.filter(({ name }) => name !== "web"), ITSELF].map(({ name, running }) => ({ name, look: RUNNING[running], note: running === null ? UNSEEN : null }))} />`;
