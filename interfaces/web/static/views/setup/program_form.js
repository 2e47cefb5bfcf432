// Registers a program, or agrees on other terms of it.
import { html } from "../../dom.js";
import { toast } from "../../components/toasts.js";
import { go } from "../../router.js";
import { EntryForm } from "./entry_form.js";
import { Field, Fields, Group, useAll } from "./fields.js";

const BLANK = {
  program_id: "", utility_id: "", rank: 1, baseline: { method: "caiso-10-in-10", parameters: {} }, holidays: null, clip_delivery: false, window: null, notification_lead_s: 600, maximum_lead_s: null,
  prepare_lead_s: 600, minimum_duration_s: 900, maximum_duration_s: 14400, acceptable_share: 0.8, shortfall_policy: "continue", forecast_guardrail: "block", two_phase: true, rate_per_kw: "0", rate_per_kwh: "0", settlement: null,
};
const TIMES = [
  ["notification_lead_s", "Shortest notice, s", "number"],
  ["maximum_lead_s", "Longest notice, s", "number", "Empty: as the settings say"],
  ["prepare_lead_s", "Preparation before the start, s", "number"],
  ["minimum_duration_s", "Shortest DR event, s", "number"],
  ["maximum_duration_s", "Longest DR event, s", "number"],
];
const MONEY = [
  ["acceptable_share", "Acceptable share", "number", "Of the target, above 0 to 1"],
  ["rate_per_kw", "Rate per kW", "text", "An exact decimal"],
  ["rate_per_kwh", "Rate per kWh", "text"],
];
const METHODS = ["caiso-10-in-10", "high-4-of-5", "high-5-of-10", "mid-8-of-10", "x-of-y", "meter-before-meter-after", "firm-service-level", "regression"];
const named = (values) => values.map((one) => [one, one]);

export function ProgramForm({ id }) {
  const utilities = useAll("/api/portfolio/utilities?limit=500");
  const names = (utilities.data || []).map(({ utility_id: one, name }) => [one, name ? `${name} (${one})` : one]);
  const saved = ({ program_id: name, version }) => {
    toast(`${name}: version ${version} of its terms is in force.`);
    go("programs", name);
  };
  const note = "Other terms become a new version. A DR event keeps the version that it was accepted under.";
  return html`<${EntryForm} title=${id || "New program"} note=${note} recorded=${id && `/api/portfolio/programs/${encodeURIComponent(id)}`} blank=${BLANK} path="/api/programs" submit=${id ? "Agree" : "Register"} saved=${saved}>${(form) => html`
    <${Group} title="Program">
      ${!id && html`<${Field} form=${form} path=${["program_id"]} label="Id" empty="" whole hint="a to z, 0 to 9, - and _" />`}
      <${Field} form=${form} path=${["utility_id"]} label="Utility" kind="select" empty="" whole disabled=${Boolean(id)} options=${[["", "choose one"], ...names.filter(([one]) => one !== form.entry.utility_id), ...(form.entry.utility_id ? [names.find(([one]) => one === form.entry.utility_id) || [form.entry.utility_id, form.entry.utility_id]] : [])]} />
      <${Field} form=${form} path=${["rank"]} label="Rank" kind="number" hint="Decides between utilities" />
      <${Field} form=${form} path=${["shortfall_policy"]} label="At a shortfall" kind="select" options=${named(["continue", "reallocate", "abort"])} />
      <${Field} form=${form} path=${["forecast_guardrail"]} label="On a degraded forecast" kind="select" options=${named(["block", "accept_no_weather", "warn"])} />
      <${Field} form=${form} path=${["two_phase"]} label="Buildings are prepared before the start" kind="check" />
    </${Group}>
    <${Group} title="Times"><${Fields} form=${form} of=${TIMES} /></${Group}>
    <${Group} title="Money"><${Fields} form=${form} of=${MONEY} /></${Group}>
    <${Group} title="Measurement">
      <${Field} form=${form} path=${["baseline", "method"]} label="Baseline" kind="select" options=${named(METHODS)} />
      <${Field} form=${form} path=${["clip_delivery"]} label="A delivery below 0 kW counts as 0" kind="check" />
      <${Field} form=${form} path=${["baseline", "parameters"]} label="Parameters of the baseline, JSON" kind="json" empty=${{}} />
    </${Group}>
    <${Group} title="Window, holidays and settlement, as in a portfolio file (JSON)">
      <${Field} form=${form} path=${["window"]} label="Window, JSON" kind="json" hint="Empty: any hour of any day" />
      <${Field} form=${form} path=${["holidays"]} label="Holidays, JSON" kind="json" hint="Empty: the public ones of each facility's region" />
      <${Field} form=${form} path=${["settlement"]} label="Settlement rule, JSON" kind="json" hint="Empty: nothing is settled in money" />
    </${Group}>`}</${EntryForm}>`;
}
