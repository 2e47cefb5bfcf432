// The facilities of a DR event as rows that move through prepared, committed, verified and restored, with reasons.
import { Glyph } from "../components/glyph.js";
import { Chip, Empty, Segments } from "../components/parts.js";
import { Table } from "../components/table.js";
import { html, useMemo, useState } from "../dom.js";
import { NONE, clockSeconds, count, hundredths, kw, percent, readable } from "../format.js";
import { hrefTo } from "../router.js";
import { may } from "../session.js";
import { looks } from "../states.js";

const FAILED = new Set(["failed", "restore_failed", "blocked", "aborted", "compensated", "compensating"]);
const UNDER_WAY = new Set(["preparing", "prepared", "committing", "committed", "verified_by_bms", "verified_by_meter", "restoring"]);
const GROUPS = [
  ["all", "All", () => true],
  ["moving", "Under way", (part) => UNDER_WAY.has(part.status)],
  ["failed", "Failed or blocked", (part) => FAILED.has(part.status) || Boolean(part.restore_trouble)],
  ["restored", "Restored", (part) => part.status === "restored"],
];

const verifiedAt = (part) => part.verified_by_meter_at || part.verified_by_bms_at || null;
const isVerified = (part) => Boolean(verifiedAt(part)) || part.status.startsWith("verified") || (part.status === "restored" && Boolean(part.measurement));

/** The four steps of a facility: passed with its time, failed, blocked or ended where it stopped, or to come. */
export function tracksOf(part) {
  const steps = [
    ["prepared", part.prepared_at, Boolean(part.prepared_at)],
    ["committed", part.committed_at, Boolean(part.committed_at)],
    ["verified", verifiedAt(part), isVerified(part)],
    ["restored", part.restored_at, Boolean(part.restored_at)],
  ];
  const first = steps.findIndex(([, , passed]) => !passed);
  const stop = stopOf(part);
  return steps.map(([name, at, passed], n) => ({ name, at, state: passed ? "passed" : stop && n === first ? stop : "ahead" }));
}

/** How a facility that goes no further stopped: one that opted out or was released before its commit has not failed. */
function stopOf(part) {
  if (part.status === "blocked") return "blocked";
  if (part.status === "aborted") return part.left === "opted_out" ? "opted out" : "released";
  return ["failed", "restore_failed"].includes(part.status) ? "failed" : null;
}

const TRACK_SHAPE = { passed: "check", failed: "cross", blocked: "triangle", "opted out": "cross", released: "cross", ahead: "ring" };
const TRACK_TONE = { passed: "ok", failed: "bad", blocked: "warn", "opted out": "warn", released: "idle", ahead: "idle" };

function Track({ part }) {
  return html`<span class="track">${tracksOf(part).map(
    ({ name, at, state }) => html`<span key=${name} data-name=${name} data-tone=${TRACK_TONE[state]} title=${`${name}: ${at ? clockSeconds(at) : state}`}>
      <span class="toned"><${Glyph} shape=${TRACK_SHAPE[state]} /></span>
      <span class="visually-hidden">${name} ${state === "ahead" ? "to come" : state}</span>
      <small aria-hidden="true">${at ? clockSeconds(at) : state === "passed" ? "yes" : state === "ahead" ? NONE : state}</small></span>`,
  )}</span>`;
}

/** Why it stands where it stands: every reason there is. */
export function reasonsOf(part) {
  return [
    part.what_went_wrong,
    part.restore_trouble && `restore does not succeed: ${part.restore_trouble}`,
    part.override_reason && `overridden: ${part.override_reason}`,
    part.restored_by_hand && `restored by hand: ${part.restored_by_hand}`,
    part.not_measurable_reason && `not measurable: ${part.not_measurable_reason}`,
    part.measurement?.revision > 1 && `measured again (${part.measurement.revision}), before ${kw(part.measurement.previous_kw)} kW`,
    part.measurement?.missing_intervals > 0 && `${count(part.measurement.missing_intervals)} intervals missing`,
  ].filter(Boolean);
}

const delivered = (part) => part.delivered_kw ?? part.delivered_kw_so_far ?? null;

/** A restore that does not succeed is trouble before it is given up. */
export function statusLook(part) {
  const look = looks("dispatch", part.status);
  return part.restore_trouble && part.status !== "restore_failed" ? { tone: "bad", shape: "triangle", words: `${look.words}, not succeeding` } : look;
}

function columnsOf(act) {
  return [
    { id: "facility", label: "Facility", header: true, sort: (part) => part.facility_id, cell: (part) => (may("portfolio") ? html`<a href=${hrefTo("facilities", part.facility_id)}>${part.facility_id}</a>` : part.facility_id) },
    { id: "status", label: "Status", sort: (part) => part.status, cell: (part) => html`<span class="row"><${Chip} look=${statusLook(part)} />${act?.(part)}</span>` },
    { id: "track", whole: true, label: html`<span class="track-head"><span>Prepared</span><span>Committed</span><span>Verified</span><span>Restored</span></span>`, cell: (part) => html`<${Track} part=${part} />` },
    { id: "target", label: "Target, kW", number: true, sort: (part) => part.target_kw, cell: (part) => kw(part.target_kw) },
    { id: "delivered", label: "Delivered, kW", number: true, sort: delivered, cell: (part) => kw(delivered(part)) },
    { id: "share", label: "Share", number: true, sort: (part) => (delivered(part) === null ? null : delivered(part) / part.target_kw), cell: (part) => (delivered(part) === null || !part.target_kw ? NONE : percent(delivered(part) / part.target_kw)) },
    { id: "coverage", label: "Readings", number: true, sort: (part) => part.measurement?.coverage_pct, cell: (part) => hundredths(part.measurement?.coverage_pct, 0) },
    { id: "why", label: "Reasons", value: (part) => reasonsOf(part).join("; "), hidden: true },
    { id: "quality", label: "Forecast, when planned", sort: (part) => part.data_quality, cell: (part) => html`<${Chip} kind="quality" state=${part.data_quality} />` },
  ];
}

function Reasons({ part }) {
  const found = reasonsOf(part);
  return found.length ? html`<div class="reasons small soft">${found.map((reason) => html`<span key=${reason}>${readable(reason)}</span>`)}</div>` : null;
}

const below = (part) => (reasonsOf(part).length ? html`<${Reasons} part=${part} />` : null);

/** `act(part)` gives the buttons of a row; null where nothing may be done. */
export function DispatchRows({ parts, act = null }) {
  const [group, setGroup] = useState("all");
  const columns = useMemo(() => columnsOf(act), [act]);
  const shown = useMemo(() => parts.filter(GROUPS.find(([name]) => name === group)[2]), [parts, group]);
  if (!parts.length) return html`<${Empty} title="No facility has a part yet">They get one when the plan is made.</${Empty}>`;
  const options = GROUPS.map(([name, text, belongs]) => [name, `${text} ${count(parts.filter(belongs).length)}`]);
  return html`<${Table} caption="Facilities of the DR event" columns=${columns} rows=${shown} rowKey=${(part) => part.facility_id} first="facility" tall download="dr-event-facilities"
    below=${below} text=${(part) => `${part.facility_id} ${part.status} ${reasonsOf(part).join(" ")}`}
    tools=${html`<${Segments} label="Which facilities" options=${options} value=${group} choose=${setGroup} />`} empty="No facility is in this state." />`;
}
