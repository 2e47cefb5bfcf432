// The building behind a facility: its zones, its limits, how its BMS is, and the DR events it was asked for.
import { get } from "../api.js";
import { Chip, Empty, Facts, Loaded, Panel, ProblemNote } from "../components/parts.js";
import { Table } from "../components/table.js";
import { html, useMemo } from "../dom.js";
import { NONE, between, betweenIn, count, kw, momentSeconds, percent, readable, span, words } from "../format.js";
import { useLoaded } from "../query.js";
import { hrefTo } from "../router.js";

const unitOf = (zone) => (zone.strategy === "setpoint_offset" ? "K" : "%");
const extentOf = (zone) => `${zone.max_magnitude < 0 ? "lowered by " : ""}at most ${Math.abs(zone.max_magnitude)} ${unitOf(zone)}`;
const comfortOf = (zone) => (zone.lower_comfort_limit_c == null ? `${zone.comfort_limit_c} °C` : `${zone.lower_comfort_limit_c} to ${zone.comfort_limit_c} °C`);
/** The one in force, and the one that is to come. */
const timeZoneOf = (row) => {
  const last = (row.location_history || []).at(-1);
  return last && last.tz !== row.tz ? `${row.tz}, ${last.tz} from ${last.from_day}` : row.tz;
};
const commandsOf = (health) => Object.entries(health?.commands || {}).map(([phase, state]) => `${phase} ${words(state)}`).join(", ");

/** Of what nothing is heard is not as usual either. */
const stateOf = ({ health }) => (!health ? "unknown" : health.drifted ? "drifted" : health.curtailed ? "curtailed" : "free");

const ZONE_COLUMNS = [
  { id: "zone", label: "Zone", header: true, sort: (zone) => zone.zone_id, cell: (zone) => zone.zone_id },
  { id: "kw", label: "Curtailable, kW", number: true, sort: (zone) => zone.curtailable_kw, cell: (zone) => kw(zone.curtailable_kw) },
  { id: "strategy", label: "How", cell: (zone) => html`<span class="nowrap">${words(zone.strategy)}, ${extentOf(zone)}</span>` },
  { id: "comfort", label: "Comfort limits", number: true, cell: comfortOf },
  { id: "longest", label: "Longest", number: true, cell: (zone) => span(zone.longest_curtailment_s) },
  { id: "off", label: "Least off", number: true, cell: (zone) => span(zone.minimum_off_s) },
  { id: "state", label: "Now", cell: (zone) => html`<${Chip} kind="zone" state=${stateOf(zone)} />` },
  { id: "commands", label: "Newest commands", wrap: true, cell: (zone) => commandsOf(zone.health) || NONE },
];

/** `health`: the query of `useHealth`. */
export function Zones({ row, health: { data: health, problem, retry } }) {
  const rows = useMemo(() => row.zones.map((zone) => ({ ...zone, health: health?.zones.find(({ zone_id: id }) => id === zone.zone_id) })), [row, health]);
  return html`<${Panel} title="Zones" flush note=${`${kw(row.curtailable_kw)} kW curtailable`}>
    <${ProblemNote} problem=${problem} retry=${retry} />
    <${Table} caption="Zones" columns=${ZONE_COLUMNS} rows=${rows} rowKey=${(zone) => zone.zone_id} first="zone" empty="No zone is declared: nothing can be shed here." />
  </${Panel}>`;
}

/** How its BMS is reached, of `/health`; a server without it tells of the address alone. */
export const useHealth = (id) =>
  useLoaded(`health of ${id}`, (signal) => get(`/api/facilities/${encodeURIComponent(id)}/health`, { signal }).catch((error) => (error.status === 404 ? null : Promise.reject(error))), { topics: ["dispatch", "alert", "facility"] });

/** The building's state in a word: an open alert about it is trouble, whatever its BMS says. */
function troubleLook({ bms, alerts }) {
  if (bms !== "no_trouble_known" || !alerts.length) return { kind: "bms", state: bms };
  return { look: { tone: "warn", shape: "triangle", words: alerts.length === 1 ? words(alerts[0].name) : `${count(alerts.length)} alerts` } };
}

export function Building({ row, health }) {
  const limits = row.limits || {};
  return html`<${Panel} title="Building" className="span-5" end=${health && html`<${Chip} ...${troubleLook(health)} />`}>
    <${Facts} items=${[
      ["BMS state", health && html`<${Chip} kind="bms" state=${health.bms} />`],
      ["BMS", row.bms_address && html`<code>${row.bms_address}</code>`],
      ["Profile", words(row.bms_profile)],
      ["Verified by BMS", health?.verified_by_bms_at && momentSeconds(health.verified_by_bms_at)],
      ["Verified by meter", health?.verified_by_meter_at && momentSeconds(health.verified_by_meter_at)],
      ["Trouble", health?.alerts.length ? health.alerts.map((alert) => html`<div key=${alert.name + alert.subject}>${words(alert.name)}: ${readable(alert.detail)}</div>`) : null],
      ["Meters", row.meters.join(", ")],
      ["Programs", row.programs.join(", ") || "none"],
      ["Limits", row.limits && `${limits.dr_events_per_day} DR events a day, ${limits.dr_events_per_season} a season, ${span(limits.longest_dr_event_s)} at most`],
      ["Notice needed", row.limits && span(limits.notification_lead_s)],
      ["Place", placeOf(row)],
      ["Time zone", timeZoneOf(row)],
      ["Groups", (row.groups || []).join(", ") || NONE],
      ["Registered", momentSeconds(row.registered_at)],
    ]} />
  </${Panel}>`;
}

const placeOf = (row) => {
  const cell = words(row.weather_cell.replaceAll("-", " "));
  return row.latitude === null || row.longitude === null ? `${cell}, no coordinates` : `${cell}, ${row.latitude.toFixed(2)}, ${row.longitude.toFixed(2)}`;
};

const share = (one) => (one.part?.delivered_kw != null && one.part.target_kw ? one.part.delivered_kw / one.part.target_kw : null);

const servedColumns = (tz) => [
  { id: "name", label: "DR event", header: true, cell: ({ row }) => html`<a href=${hrefTo("dr-events", row.dr_event_id)}>${row.utility_event_id}</a>` },
  { id: "window", label: "Window", sort: ({ row }) => row.starts_at, cell: ({ row }) => html`<span class="nowrap">${between(row.starts_at, row.ends_at)}</span> <${Local} row=${row} tz=${tz} />` },
  { id: "status", label: "Its part", cell: ({ part }) => (part ? html`<${Chip} kind="dispatch" state=${part.status} />` : html`<span class="faint">none</span>`) },
  { id: "target", label: "Target, kW", number: true, cell: ({ part }) => kw(part?.target_kw) },
  { id: "delivered", label: "Delivered, kW", number: true, cell: ({ part }) => kw(part?.delivered_kw) },
  { id: "share", label: "Share", number: true, cell: (one) => percent(share(one)) },
  { id: "baseline", label: "Baseline", cell: ({ part }) => part?.measurement?.baseline_method || NONE },
  { id: "revision", label: "Revision", number: true, cell: ({ part }) => (part?.measurement ? count(part.measurement.revision) : NONE) },
  { id: "why", label: "Reasons", wrap: true, cell: ({ part }) => whyOf(part) },
];

const whyOf = (part) => {
  const text = part?.what_went_wrong || part?.not_measurable_reason;
  return text ? readable(text) : NONE;
};

/** The window on the facility's own clocks. */
function Local({ row, tz }) {
  const text = betweenIn(row.starts_at, row.ends_at, tz);
  return text && html`<span class="small faint block">${text}</span>`;
}

export function Served({ query, tz }) {
  const columns = useMemo(() => servedColumns(tz), [tz]);
  return html`<${Panel} title="DR events" flush note="the newest it is asked for">
    <${Loaded} query=${query}>${(served) => served.length
      ? html`<${Table} caption="DR events of the facility" columns=${columns} rows=${served} rowKey=${({ row }) => row.dr_event_id} first="-window" />`
      : html`<${Empty} title="Asked for by no DR event yet" />`}</${Loaded}>
  </${Panel}>`;
}
