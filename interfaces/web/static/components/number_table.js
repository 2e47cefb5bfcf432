// Numbers with the domain events that they come from.
import { html, useMemo } from "../dom.js";
import { count, kw, momentSeconds, sentence, words } from "../format.js";
import { hrefTo } from "../router.js";
import { may, session } from "../session.js";
import { useStore } from "../store.js";
import { Table } from "./table.js";

const NUMBERS = {
  target_kw: ["Target", "kW"],
  capacity_kw: ["Capacity at acceptance", "kW"],
  capacity_degraded_kw: ["Capacity that rests on degraded forecasts", "kW"],
  shortfall_kw: ["Short of the target", "kW"],
  missing_kw: ["Missing in the plan", "kW"],
  delivered_kw: ["Delivered", "kW"],
  delivered_kw_so_far: ["Delivered while the window ran", "kW"],
  baseline_kw: ["Adjusted baseline", "kW"],
  metered_kw: ["Metered", "kW"],
  coverage_pct: ["Readings of the window", "%"],
  measured_facilities: ["Measured", "facilities"],
};
const nameOf = ({ name }) => NUMBERS[name]?.[0] || sentence(name);
const unitOf = ({ name }) => NUMBERS[name]?.[1] || "facilities";
const valueOf = (number) => ({ kW: kw, "%": (value) => value.toFixed(1) })[unitOf(number)]?.(number.value) ?? count(number.value);

/** A domain event, with its time if `timed`, as a link to its step of the audit trail for those who may see it. */
export function Origin({ id, origin, timed = true }) {
  const audits = may("audit", useStore(session));
  const [aggregate, happened] = origin.topic.replaceAll("-", " ").split(".");
  const text = html`${words(aggregate)} ${words(happened)}${origin.position === null ? "" : html` <span class="faint">#${origin.position}</span>`}`;
  const event = audits
    ? html`<a href=${hrefTo("audit", id, { step: origin.position })} title=${origin.topic}>${text}</a>`
    : html`<span title=${origin.topic}>${text}</span>`;
  return html`${event} ${timed && html`<time class="small faint nowrap" datetime=${origin.recorded_at}>${momentSeconds(origin.recorded_at)}</time>`}`;
}

const columnsOf = (id) => [
  { id: "name", label: "Number", header: true, cell: nameOf },
  { id: "value", label: "Value", number: true, cell: (number) => html`${valueOf(number)} <span class="faint">${unitOf(number)}</span>` },
  { id: "origin", label: "Comes from", cell: (number) => html`<${Origin} id=${id} origin=${number.origin} />` },
];

export function NumberTable({ id, numbers, caption, empty = "No number is recorded yet." }) {
  const columns = useMemo(() => columnsOf(id), [id]);
  return html`<div class="numbers"><${Table} caption=${caption} columns=${columns} rows=${numbers} rowKey=${(number) => number.name} empty=${empty} /></div>`;
}
