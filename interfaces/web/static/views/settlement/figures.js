// The numbers of a settlement: its lines with their formulas, facilities, intervals, flags, and the rule.
import { Table } from "../../components/table.js";
import { html, useMemo } from "../../dom.js";
import { NONE, count, moment, percent, sentence, words } from "../../format.js";
import { hrefTo } from "../../router.js";
import { may, session } from "../../session.js";
import { useStore } from "../../store.js";
import { amount, readableFormula, reasonsOf } from "./money.js";

const RULE = "settlement-rule";
const FILTERED = 12;

/** The domain event that recorded it, as a link to its step of the audit trail for those who may see it. */
function Recorded({ id, event, children }) {
  const audits = may("audit", useStore(session));
  return audits && event ? html`<a href=${hrefTo("audit", id, { event })}>${children}</a>` : children;
}

function toRule() {
  const rule = document.getElementById(RULE);
  rule.open = true;
  rule.querySelector("summary").focus();
}

/** The measurement of a facility, on the view of the DR event; a key of one facility has no such view. */
function Measurement({ id, facility }) {
  const { facilityId } = useStore(session);
  return facilityId ? html`${facility}` : html`<a href=${hrefTo("dr-events", id, { facility })}>${facility}</a>`;
}

export function Lines({ id, document: found }) {
  const baselines = useMemo(() => new Map(found.facilities.map((one) => [one.facility_id, one.baseline])), [found]);
  const columns = useMemo(() => [
    { id: "unit", label: "Unit", header: true, cell: (one) => (baselines.has(one.unit) ? html`<${Measurement} id=${id} facility=${one.unit} />` : one.unit) },
    { id: "component", label: "For", cell: (one) => html`${sentence(one.component)}${one.note && html`<div class="soft small">${reasonsOf([one.note])}</div>`}` },
    { id: "amount", label: `Amount, ${found.currency}`, number: true, cell: (one) => html`<strong>${amount(one.amount)}</strong>` },
    { id: "formula", label: "Formula in numbers", wrap: true, cell: (one) => readableFormula(one.formula) || NONE },
    {
      id: "origin", label: "Comes from", fit: true,
      cell: (one) => html`<button class="linklike" type="button" onClick=${toRule}>rule, version ${found.program_version}</button>${baselines.get(one.unit)?.domain_event_id &&
        html`, <${Recorded} id=${id} event=${baselines.get(one.unit).domain_event_id}>dispatch measured</${Recorded}>`}`,
    },
  ], [id, found]);
  return html`<section class="whole"><h3>Lines <span class="note">above 0 the utility owes the amount</span></h3>
    <${Table} caption="Lines of the settlement" columns=${columns} rows=${found.lines} rowKey=${(one) => `${one.unit} ${one.component}`}
      text=${found.lines.length > FILTERED ? (one) => `${one.unit} ${one.component}` : undefined} empty="No line: nothing is paid with this DR event." /></section>`;
}

export function Facilities({ id, document: found }) {
  const columns = useMemo(() => [
    { id: "facility", label: "Facility", header: true, sort: (one) => one.facility_id, cell: (one) => html`<${Measurement} id=${id} facility=${one.facility_id} />` },
    { id: "gross", label: `Gross, ${found.currency}`, number: true, sort: (one) => Number(one.gross), cell: (one) => html`<strong>${amount(one.gross)}</strong>` },
    { id: "net", label: `Net, ${found.currency}`, number: true, sort: (one) => Number(one.net), cell: (one) => amount(one.net) },
    { id: "result", label: "Result", wrap: true, sort: (one) => one.reason, cell: (one) => (one.counted ? words(one.result) : `left out: ${reasonsOf([one.reason])}`) },
    { id: "committed", label: "Committed, kWh", number: true, sort: (one) => Number(one.committed_kwh), cell: (one) => amount(one.committed_kwh) },
    { id: "delivered", label: "Delivered, kWh", number: true, sort: (one) => Number(one.delivered_kwh), cell: (one) => amount(one.delivered_kwh) },
    { id: "short", label: "Short, kWh", number: true, sort: (one) => Number(one.shortfall_kwh), cell: (one) => amount(one.shortfall_kwh) },
    { id: "performance", label: "Performance", number: true, sort: (one) => one.performance && Number(one.performance), cell: (one) => one.performance ?? NONE },
    { id: "coverage", label: "Metered", number: true, sort: (one) => Number(one.coverage), cell: (one) => percent(Number(one.coverage)) },
    { id: "origin", label: "Comes from", fit: true, cell: (one) => (one.baseline?.domain_event_id ? html`<${Recorded} id=${id} event=${one.baseline.domain_event_id}>dispatch measured</${Recorded}>` : NONE) },
  ], [id, found]);
  if (!found.facilities.length) return null;
  return html`<section class="whole"><h3>By facility <span class="note">net is what goes to the facility of its gross</span></h3>
    <${Table} caption="The settlement by facility" columns=${columns} rows=${found.facilities} rowKey=${(one) => one.facility_id} first="facility" tall
      text=${found.facilities.length > FILTERED ? (one) => `${one.facility_id} ${one.result}` : undefined} /></section>`;
}

const INTERVALS = [
  { id: "unit", label: "Unit", header: true, cell: (one) => one.unit },
  { id: "at", label: "From", fit: true, cell: (one) => moment(one.starts_at) },
  { id: "committed", label: "Committed, kW", number: true, cell: (one) => amount(one.committed_kw) },
  { id: "delivered", label: "Delivered, kW", number: true, cell: (one) => amount(one.delivered_kw) },
  { id: "counted", label: "Counted, kW", number: true, cell: (one) => amount(one.counted_kw) },
  { id: "performance", label: "Performance", number: true, cell: (one) => one.performance ?? NONE },
];

/** Those of the units; of a portfolio those of its facilities, too. */
export function Intervals({ document: found }) {
  const rows = useMemo(() => {
    const listed = (unit, intervals) => intervals.map((one) => ({ ...one, unit }));
    const units = found.units.flatMap((one) => listed(one.unit, one.intervals));
    return found.level === "portfolio" || !units.length ? [...units, ...found.facilities.flatMap((one) => listed(one.facility_id, one.intervals))] : units;
  }, [found]);
  if (!rows.length) return null;
  return html`<section class="whole"><details><summary>Settlement intervals</summary>
    <${Table} caption="Settlement intervals" columns=${INTERVALS} rows=${rows} rowKey=${(one) => `${one.unit} ${one.starts_at}`} text=${rows.length > FILTERED ? (one) => one.unit : undefined} />
  </details></section>`;
}

/** The members of a rule that are set, by their paths. */
function members(value, path = "") {
  return Object.entries(value).flatMap(([name, one]) => {
    if (one === null) return [];
    return typeof one === "object" ? members(one, `${path}${name}.`) : [{ member: path + name, value: String(one) }];
  });
}

const MEMBERS = [
  { id: "member", label: "Member", header: true, cell: (one) => html`<code>${one.member}</code>` },
  { id: "value", label: "Value", cell: (one) => one.value },
];

export function Rule({ document: found }) {
  const rows = useMemo(() => members(found.inputs.program.settlement), [found]);
  return html`<section class="whole"><details id=${RULE}><summary>The rule: ${found.program_id}, version ${found.program_version}</summary>
    <${Table} caption="Members of the settlement rule" columns=${MEMBERS} rows=${rows} rowKey=${(one) => one.member} /></details></section>`;
}

const FLAGS = [
  { id: "flag", label: "Flag", header: true, cell: (one) => sentence(one.flag) },
  { id: "seen", label: "Seen", wrap: true, cell: (one) => one.seen.slice(0, FILTERED).map((seen) => html`<div>${seen.facility_id}: ${seen.figure}</div>`).concat(one.seen.length > FILTERED ? `and ${count(one.seen.length - FILTERED)} more in the statement` : []) },
  { id: "means", label: "What it means", wrap: true, cell: (one) => one.means },
  { id: "do", label: "What to do", wrap: true, cell: (one) => one.do },
];

/** Each flag once, with the facilities that have it. */
export function Flags({ flags }) {
  const rows = useMemo(() => {
    const found = new Map();
    for (const one of flags) {
      if (!found.has(one.flag)) found.set(one.flag, { ...one, seen: [] });
      found.get(one.flag).seen.push(one);
    }
    return [...found.values()];
  }, [flags]);
  if (!rows.length) return null;
  return html`<section class="whole"><h3>To look at <span class="note">no amount depends on these</span></h3>
    <${Table} caption="Flags of the settlement" columns=${FLAGS} rows=${rows} rowKey=${(one) => one.flag} /></section>`;
}
