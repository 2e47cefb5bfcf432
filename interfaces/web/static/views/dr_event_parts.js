// One DR event, now or as it stood: the same parts for the DR event's own view and for the slider of the audit.
import { get } from "../api.js";
import { Chip, Facts, Loaded, Panel } from "../components/parts.js";
import { Table } from "../components/table.js";
import { html, useMemo } from "../dom.js";
import { NONE, between, betweenIn, count, facilities, kw, moment, momentSeconds, readable, sentence, short, words } from "../format.js";
import { useList, useLoaded, useQuery } from "../query.js";
import { may, session } from "../session.js";
import { useStore } from "../store.js";
import { DispatchRows } from "./dispatch_rows.js";
import { DREventLoad } from "./dr_event_load.js";
import { DREventMeasured } from "./dr_event_measured.js";
import { DREventFigures, Progress } from "./dr_event_progress.js";
import { later } from "./later.js";

const Settlement = later(null, () => import("./settlement/settlement.js").then((file) => file.Settlement));

export const RESTORING = new Set(["restoring", "compensating", "restore_failed"]);

/** `?as_of=` for a moment of the past, nothing for now. */
export const asOfQuery = (asOf, mark = "?") => (asOf ? `${mark}as_of=${encodeURIComponent(asOf)}` : "");

export const useDREvent = (id, asOf = null) =>
  useQuery(`/api/dr-events/${id}${asOfQuery(asOf)}`, asOf ? {} : { topics: [`dr-event:${id}`] });

/** Facility -> why its restore does not succeed, of the open alerts; none for those who do not see alerts. */
function useRestoreTroubles(asOf) {
  const path = asOf || !may("alerts", useStore(session)) ? null : "/api/alerts?limit=500";
  const { data } = useQuery(path, { topics: ["alert"], everyMs: 30_000 });
  return useMemo(() => {
    const failing = (data?.items || []).filter(({ name }) => name === "restore_failing");
    return new Map(failing.map(({ subject, detail }) => [subject.split("/")[0], detail]));
  }, [data]);
}

/** The parts of its facilities, with when each was verified where the server says so. */
export function useDispatches(id, asOf = null) {
  const topics = asOf ? [] : [`dr-event:${id}`];
  const parts = useList(`/api/dr-events/${id}/dispatches?limit=500${asOfQuery(asOf, "&")}`, { topics });
  const path = `/api/dr-events/${id}/performance?limit=500${asOfQuery(asOf, "&")}`;
  const verified = useLoaded(path, (signal) => get(path, { signal }).catch((error) => (error.status === 404 ? { items: [] } : Promise.reject(error))), { topics });
  const troubles = useRestoreTroubles(asOf);
  const data = useMemo(() => {
    if (!parts.data) return undefined;
    const found = new Map((verified.data?.items || []).map((item) => [item.facility_id, item]));
    return parts.data.map((part) => {
      const { verified_by_bms_at, verified_by_meter_at, delivered_kw_so_far } = found.get(part.facility_id) || {};
      const restore_trouble = RESTORING.has(part.status) ? troubles.get(part.facility_id) : undefined;
      return { ...part, verified_by_bms_at, verified_by_meter_at, delivered_kw_so_far, restore_trouble };
    });
  }, [parts.data, verified.data, troubles]);
  return { ...parts, data };
}

const CALLBACK_COLUMNS = [
  { id: "kind", label: "Told", header: true, sort: (one) => one.kind, cell: (one) => sentence(one.kind) },
  { id: "state", label: "State", sort: (one) => one.state, cell: (one) => html`<${Chip} kind="callback" state=${one.state} />` },
  { id: "requested", label: "Requested", sort: (one) => one.requested_at, cell: (one) => html`<span class="nowrap">${momentSeconds(one.requested_at)}</span>` },
  { id: "concluded", label: "Concluded", sort: (one) => one.concluded_at, cell: (one) => html`<span class="nowrap">${momentSeconds(one.concluded_at)}</span>` },
  { id: "attempts", label: "Tries", number: true, cell: (one) => count(one.attempts) },
  { id: "failure", label: "Failure", wrap: true, cell: (one) => one.failure || NONE },
];

function Callbacks({ row }) {
  const rows = useMemo(() => Object.entries(row.callbacks).map(([id, one]) => ({ id, ...one })), [row]);
  return html`<${Panel} title="Told to the utility" flush className="span-7" note=${row.wants_callbacks ? "" : "the utility asked for no callbacks"}>
    <${Table} caption="Callbacks to the utility" columns=${CALLBACK_COLUMNS} rows=${rows} rowKey=${(one) => one.id} first="requested" empty="Nothing has been told yet." />
  </${Panel}>`;
}

const PRICE_COLUMNS = [
  { id: "starts_at", label: "From", header: true, sort: (one) => one.starts_at, cell: (one) => html`<span class="nowrap">${moment(one.starts_at)}</span>` },
  { id: "per_kwh", label: "Per kWh", number: true, sort: (one) => Number(one.per_kwh), cell: (one) => one.per_kwh },
];

/** The prices that the utility sent, as it wrote them; nothing without one. */
function Prices({ row }) {
  if (!row.prices?.length) return null;
  return html`<${Panel} title="Prices" flush className="span-5" note=${`per settlement interval, in the currency of ${row.program_id}`}>
    <${Table} caption="Prices of the DR event" columns=${PRICE_COLUMNS} rows=${row.prices} rowKey=${(one) => one.starts_at} first="starts_at" />
  </${Panel}>`;
}

const listed = (ids) => (ids.length ? (ids.length > 12 ? `${ids.slice(0, 12).join(", ")} and ${ids.length - 12} more` : ids.join(", ")) : null);

/** Each reason with the number of facilities; null without one. */
function reasonsOf(counts) {
  const found = Object.entries(counts || {});
  return found.length ? found.map(([reason, facilities]) => html`<div>${reason} (${count(facilities)})</div>`) : null;
}

const isOut = (part) => Boolean(part?.failure || (part?.left && part.left !== "cancelled"));

/** What is missing of the plan, in kW, with the shares that went with facilities that failed or left since. */
export function missingKw(row, parts) {
  const byId = new Map(parts.map((part) => [part.facility_id, part]));
  return row.targets.reduce((sum, target) => sum + (isOut(byId.get(target.facility_id)) ? target.target_kw : 0), row.missing_kw);
}

/** The window on the clocks of its facilities, for those who see facilities. */
function useLocalWindows(row) {
  const { data } = useList(may("portfolio", useStore(session)) ? "/api/facilities?limit=500" : null, { topics: ["facility"] });
  return useMemo(() => {
    const asked = new Set(row.facility_ids);
    const number = new Map();
    for (const { facility_id: id, tz } of data || []) if (asked.has(id)) number.set(tz, (number.get(tz) || 0) + 1);
    return [...number].map(([tz, of]) => [betweenIn(row.starts_at, row.ends_at, tz), of]).filter(([text]) => text);
  }, [data, row]);
}

function Particulars({ row, parts }) {
  const windows = useLocalWindows(row);
  const missing = missingKw(row, parts);
  const reasons = [...row.reasons, ...row.refused_modification];
  return html`<${Panel} title="Particulars" className="span-5">
    <${Facts} items=${[
      ["Utility", row.utility_id],
      ["Program", row.program_id && `${row.program_id}, version ${row.program_version}`],
      ["Kind", row.kind && row.kind !== "event" ? row.kind : null],
      ["Window", between(row.starts_at, row.ends_at)],
      ["On local clocks", windows.length ? windows.map(([text, of]) => html`<div key=${text}>${text}${windows.length > 1 ? ` (${facilities(of)})` : ""}</div>`) : null],
      ["Asked to start", row.requested_starts_at && momentSeconds(row.requested_starts_at)],
      ["Modification", `${row.modification_number}, plan revision ${row.plan_revision}`],
      ["Missing", missing ? `${kw(missing)} kW of the plan` : null],
      ["Short of target", row.shortfall_kw ? `${kw(row.shortfall_kw)} kW` : null],
      ["Planned again", row.plan_retry_at && momentSeconds(row.plan_retry_at)],
      ["Cancelled because", row.cancellation_reason],
      ["Reasons", reasons.length ? reasons.map((reason) => html`<div>${reason.facility_id ? `${reason.facility_id}: ` : ""}${reason.detail ? readable(reason.detail) : words(reason.code)}</div>`) : null],
      ["Failed", listed(row.failed_facilities)],
      ["Opted out", listed(row.opted_out_facilities)],
      ["Lost to stronger DR events", listed(row.preempted_facilities)],
      ["Not measurable", listed(row.unmeasured_facilities)],
      ["Because", reasonsOf(row.unmeasured_reasons)],
      ["Settlement", words(row.settlement_status)],
      ["Id", html`<code>${row.dr_event_id}</code>`],
      ["Trace", html`<code title=${row.trace_id}>${short(row.trace_id)}</code>`],
    ]} />
  </${Panel}>`;
}

/** Everything of one DR event below its head; `asOf` null for now. `act(part)`: buttons of a facility's row; `open`: the facility whose
 * measurement is shown; `needs(parts)`: what a person must do now, above all. */
export function DREventBody({ id, asOf = null, act = null, open = null, needs = null }) {
  const dr = useDREvent(id, asOf);
  const parts = useDispatches(id, asOf);
  return html`<${Loaded} query=${dr} height="30rem">${(row) => html`
    ${needs?.(parts.data || [])}
    <${Panel} title="Progress"><${Progress} row=${row} /></${Panel}>
    <${DREventFigures} row=${row} parts=${parts.data || []} />
    <${DREventLoad} row=${row} asOf=${asOf} />
    <${Panel} title="Facilities" flush note=${`${count(row.facility_ids.length)} asked`}>
      <${Loaded} query=${parts} lines=8>${(found) => html`<${DispatchRows} parts=${found} act=${act} />`}</${Loaded}>
    </${Panel}>
    <${DREventMeasured} id=${id} parts=${parts.data || []} asOf=${asOf} open=${open} />
    ${row.status !== "rejected" && html`<${Settlement} id=${id} status=${row.status} facilities=${row.facility_ids.length} asOf=${asOf} />`}
    <div class="grid"><${Callbacks} row=${row} /><${Particulars} row=${row} parts=${parts.data || []} /><${Prices} row=${row} /></div>`}</${Loaded}>`;
}
