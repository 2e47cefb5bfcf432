// Registers a facility, or changes what is agreed with it.
import { html } from "../../dom.js";
import { toast } from "../../components/toasts.js";
import { refetch } from "../../query.js";
import { go } from "../../router.js";
import { may, session } from "../../session.js";
import { useStore } from "../../store.js";
import { EntryForm } from "./entry_form.js";
import { Field, Fields, Group, useAll } from "./fields.js";

const ZONE = { zone_id: "", curtailable_kw: null, strategy: "setpoint_offset", max_magnitude: 3, comfort_limit_c: 28, lower_comfort_limit_c: null, minimum_off_s: 0, longest_curtailment_s: 14400, rebound_ramp_s: 300 };
const BLANK = {
  facility_id: "", tz: "UTC", latitude: null, longitude: null, weather_cell: "default", region: null, in_force_from: null, meters: [{ meter_id: "main" }], zones: [{ ...ZONE, zone_id: "zone-1" }],
  bms: { address: "", profile: "two_phase", credentials_ref: null }, programs: [], groups: [], dr_events_per_day: 2, dr_events_per_season: 40, longest_dr_event_s: 14400, notification_lead_s: 0,
};
const PLACE = [
  ["tz", "Time zone", "text", "IANA, such as Europe/London"],
  ["weather_cell", "Weather cell", "text", "Facilities of a cell share its weather"],
  ["latitude", "Latitude", "number", "Both or neither; without them no weather"],
  ["longitude", "Longitude", "number"],
  ["region", "Region of holidays", "text", "ISO 3166, such as US-CA; empty: those of the time zone"],
  ["in_force_from", "Place in force from", "text", "A local day, 2026-08-01; empty: today"],
];
const LIMITS = [
  ["dr_events_per_day", "DR events a day", "number"],
  ["dr_events_per_season", "DR events a season", "number"],
  ["longest_dr_event_s", "Longest DR event, s", "number"],
  ["notification_lead_s", "Notice needed, s", "number"],
];
const OF_ZONE = [
  ["curtailable_kw", "Curtailable, kW", "number"],
  ["max_magnitude", "At most", "number", "Kelvin or percent; below 0: heated"],
  ["comfort_limit_c", "Upper comfort limit, °C", "number"],
  ["lower_comfort_limit_c", "Lower comfort limit, °C", "number", "Of a heated zone"],
  ["minimum_off_s", "Least off, s", "number"],
  ["longest_curtailment_s", "Longest curtailment, s", "number"],
  ["rebound_ramp_s", "Ramp of the rebound, s", "number"],
];
const STRATEGIES = [["setpoint_offset", "Setpoint offset, K"], ["shed_level", "Shed level, %"]];
const PROFILES = [["two_phase", "Two phases"], ["two_phase_no_dedup", "Two phases, no deduplication"], ["single_phase", "One phase"]];

/** What is recorded, and what else there is to choose. */
const named = (now, known) => [["", "none"], ...[...new Set([now, ...known])].filter(Boolean).map((name) => [name, name])];

/** A list of objects, each drawn by `children(n)`; `blank`: a new one. Its keys are places: what is drawn is drawn anew. */
function Rows({ form, name, one, blank, children }) {
  const rows = form.entry[name];
  const without = (n) => form.set([name], rows.filter((_, place) => place !== n));
  return html`${form.wrong(name).map((why) => html`<span class="wrong">${why}</span>`)}
    ${rows.map((row, n) => html`<${Group} key=${`${rows.length}-${n}`} title=${`${one} ${n + 1}`}>${children(n)}
      <div class="field"><button class="button small danger" type="button" onClick=${() => without(n)}>Remove ${one.toLowerCase()} ${n + 1}</button></div></${Group}>`)}
    <div><button class="button small" type="button" onClick=${() => form.set([name], [...rows, blank])}>Add ${one.toLowerCase()}</button></div>`;
}

function Bms({ form, connects, references }) {
  return html`<${Group} title="Building management system">
    <${Field} form=${form} path=${["bms", "address"]} label="Address" empty="" whole disabled=${!connects} hint=${connects ? "http or https" : "Role admin alone sets address and credentials, which stay as they are"} />
    <${Field} form=${form} path=${["bms", "profile"]} label="Profile" kind="select" options=${PROFILES} />
    ${connects && html`<${Field} form=${form} path=${["bms", "credentials_ref"]} label="Credentials" whole list="bms-secrets" hint="env:GRIDPROOF_SECRET_BMS_NAME, or a file in the folder bms of the secrets; never the secret itself" />
      <datalist id="bms-secrets">${(references || []).map(({ reference }) => html`<option key=${reference} value=${reference}></option>`)}</datalist>`}
  </${Group}>`;
}

export function FacilityForm({ id }) {
  const connects = may("administer", useStore(session));
  const references = useAll(connects && "/api/portfolio/secret-references");
  const programs = useAll("/api/programs?limit=500");
  const known = (programs.data || []).map(({ program_id: one }) => one);
  const saved = ({ facility_id: name, domain_events: recorded }) => {
    toast(recorded ? `${name}: ${recorded} changes recorded.` : `${name}: nothing was changed.`);
    refetch("/api/facilities");
    go("facilities", name);
  };
  return html`<${EntryForm} title=${id || "New facility"} recorded=${id && `/api/portfolio/facilities/${encodeURIComponent(id)}`} blank=${BLANK} path="/api/facilities" submit=${id ? "Save" : "Register"} saved=${saved}
    note=${!id && !connects && "A new facility is registered with a key of role admin: it names address and credentials of a building."}>${(form) => html`
    <${Group} title="Facility">
      ${!id && html`<${Field} form=${form} path=${["facility_id"]} label="Id" empty="" whole hint="a to z, 0 to 9, - and _" />`}
      <${Fields} form=${form} of=${PLACE} />
      <${Meters} form=${form} />
      <${Field} form=${form} path=${["groups"]} label="Groups" kind="list" hint="Labels of your own, with commas" />
    </${Group}>
    <${Bms} form=${form} connects=${connects} references=${references.data} />
    <${Rows} form=${form} name="zones" one="Zone" blank=${ZONE}>${(n) => html`
      <${Field} form=${form} path=${["zones", n, "zone_id"]} label="Id of the zone" empty="" />
      <${Field} form=${form} path=${["zones", n, "strategy"]} label="How" kind="select" options=${STRATEGIES} />
      <${Fields} form=${form} at=${["zones", n]} of=${OF_ZONE} />`}</${Rows}>
    <${Rows} form=${form} name="programs" one="Enrolment" blank=${{ program_id: known[0] || "", kw: null, level_kw: null }}>${(n) => html`
      <${Field} form=${form} path=${["programs", n, "program_id"]} label="Program" kind="select" empty="" whole options=${named(form.entry.programs[n].program_id, known)} />
      <${Fields} form=${form} at=${["programs", n]} of=${[["kw", "Enrolled power, kW", "text", "Empty: not agreed"], ["level_kw", "Firm service level, kW", "text", "Empty: that of the program"]]} />`}</${Rows}>
    <${Group} title="Limits"><${Fields} form=${form} of=${LIMITS} /></${Group}>`}</${EntryForm}>`;
}

/** Ids in one field; the entry has an object for each. */
function Meters({ form }) {
  const ids = form.entry.meters.map(({ meter_id: one }) => one);
  const own = { entry: { meters: ids }, set: (_, names) => form.set(["meters"], names.map((one) => ({ meter_id: one }))), wrong: (name) => [...form.wrong(name), ...ids.flatMap((_, n) => form.wrong(`meters[${n}].meter_id`))] };
  return html`<${Field} form=${own} path=${["meters"]} label="Meters" kind="list" hint="Ids, with commas" />`;
}
