// What another rule, another baseline, or a facility less would have paid: asked in a form, answered below it, never recorded.
import { Problem, send } from "../../api.js";
import { Facts, Panel, ProblemNote } from "../../components/parts.js";
import { Table } from "../../components/table.js";
import { html, useMemo, useState } from "../../dom.js";
import { NONE, count, words } from "../../format.js";
import { session } from "../../session.js";
import { useStore } from "../../store.js";
import { Baseline, Rule, Without, questionOf } from "./what_if_fields.js";

const signed = (amount) => (amount && Number(amount) > 0 ? `+${amount}` : amount);
const REASONS = { rule: "the rule", event: "the facilities", baseline: "the baseline", meter: "readings that changed since" };

/** Every line of either settlement, with its difference. */
export function linesOf({ in_force: old, what_if: found, changes }) {
  const rows = new Map();
  const at = (one) => `${one.unit} ${one.component}`;
  for (const [side, lines] of [["old", old.lines], ["found", found.lines]])
    for (const line of lines) rows.set(at(line), { ...rows.get(at(line)), key: at(line), unit: line.unit, component: line.component, [side]: line });
  for (const one of changes) rows.get(at(one)).difference = one.difference;
  return [...rows.values()];
}

const LINES = [
  { id: "unit", label: "Unit", header: true, sort: (one) => one.unit, cell: (one) => one.unit },
  { id: "component", label: "For", sort: (one) => one.component, cell: (one) => words(one.component) },
  { id: "old", label: "In force", number: true, sort: (one) => Number(one.old?.amount || 0), cell: (one) => one.old?.amount ?? NONE },
  { id: "found", label: "What if", number: true, sort: (one) => Number(one.found?.amount || 0), cell: (one) => html`<strong>${one.found?.amount ?? NONE}</strong>` },
  { id: "difference", label: "Difference", number: true, sort: (one) => Number(one.difference || 0), cell: (one) => signed(one.difference) ?? NONE },
  { id: "formula", label: "What if, in numbers", cell: (one) => one.found?.formula || NONE },
];

/** Why it is not settled in the hypothetical settlement, or that it is not part of it. */
function outOf(one, again) {
  if (!one.what_if) return "left out";
  if (again[one.facility_id]?.why) return again[one.facility_id].why;
  return one.what_if.reason ? words(one.what_if.reason) : NONE;
}

const facilityColumns = (again) => [
  { id: "facility", label: "Facility", header: true, sort: (one) => one.facility_id, cell: (one) => one.facility_id },
  { id: "old", label: "In force", number: true, sort: (one) => Number(one.in_force?.gross || 0), cell: (one) => one.in_force?.gross ?? NONE },
  { id: "found", label: "What if", number: true, sort: (one) => Number(one.what_if?.gross || 0), cell: (one) => html`<strong>${one.what_if?.gross ?? NONE}</strong>` },
  { id: "difference", label: "Difference", number: true, sort: (one) => Number(one.difference), cell: (one) => signed(one.difference) },
  { id: "delivered", label: "Delivered, kWh", number: true, cell: (one) => (one.what_if || one.in_force)?.delivered_kwh ?? NONE },
  { id: "net", label: "To the facility", number: true, cell: (one) => one.what_if?.net ?? NONE },
  { id: "out", label: "Not settled because", wrap: true, cell: (one) => outOf(one, again) },
];

const totalOf = (side, currency) => (side.total === null ? `not settled (${side.reasons.map(words).join(", ")})` : `${side.total} ${currency}`);

function ruleOf({ rule }) {
  if (rule === null) return "as agreed";
  return rule === "given" ? "the one that was given" : `that of ${rule}`;
}

function Answer({ found }) {
  const lines = useMemo(() => linesOf(found), [found]);
  const columns = useMemo(() => facilityColumns(found.measured_again), [found]);
  const { alteration, currency } = found;
  const changed = Object.values(found.measured_again).filter((one) => one.same_readings === false).length;
  return html`<div class="measured">
    <section class="whole"><h3>Answer <span class="note">nothing is recorded</span></h3>
      <p role="status">What if: <strong>${totalOf(found.what_if, currency)}</strong>, in force: ${totalOf(found.in_force, currency)}. Difference: <strong>${signed(found.difference)} ${currency}</strong>.</p>
      <${Facts} items=${[
        ["By reason", found.by_reason.map((one) => `${REASONS[one.why]} ${signed(one.amount)}`).join(", ") || "nothing differs"],
        ["In force", found.revision === null ? `computed by version ${found.program_version}; nothing is recorded yet` : `revision ${found.revision}, version ${found.program_version} of ${found.program_id}`],
        ["Rule", ruleOf(alteration)],
        ["Baseline", alteration.baseline?.method],
        ["Without", alteration.without.join(", ")],
        ["Readings", changed ? `changed since the measurement: ${changed === 1 ? "one facility" : `${count(changed)} facilities`}` : null],
      ]} /></section>
    <section class="whole"><h3>Lines <span class="note">in ${currency}</span></h3>
      <${Table} caption="Lines of both settlements" columns=${LINES} rows=${lines} rowKey=${(one) => one.key} empty="Neither settlement has a line." /></section>
    <section class="whole"><h3>Facilities <span class="note">in ${currency}, gross</span></h3>
      <${Table} caption="Facilities in both settlements" columns=${columns} rows=${found.facilities} rowKey=${(one) => one.facility_id} first="facility" tall /></section>
  </div>`;
}

const EMPTY = { kind: "same", version: "", text: "", method: "", parameters: {}, without: [] };

/** `facilities`: the ids that may be left out. */
export function WhatIf({ id, facilities }) {
  const { role } = useStore(session);
  const [form, setForm] = useState(EMPTY);
  const [state, setState] = useState({});
  const change = (fields) => {
    setForm((before) => ({ ...before, ...fields }));
    setState(({ found }) => ({ found }));
  };
  const { body, wrong } = questionOf(form);
  const ask = async (submitted) => {
    submitted.preventDefault();
    if (wrong) return setState({ wrong });
    setState({ busy: true });
    try {
      setState({ found: await send("POST", `/api/dr-events/${id}/what-if`, body) });
    } catch (error) {
      setState({ problem: error instanceof Problem ? error : new Problem(0, { title: "This went wrong", detail: error.message }) });
    }
  };
  return html`<${Panel} title="What if" note="another rule, another baseline, or without a facility; nothing is recorded">
    <form class="stack" onSubmit=${ask} novalidate>
      <div class="grid">
        <${Rule} form=${form} change=${change} wrong=${state.wrong?.field === "rule" && state.wrong.text} />
        ${role !== "utility" && html`<${Baseline} form=${form} change=${change} wrong=${state.wrong?.field === "baseline" && state.wrong.text} />`}
        <${Without} form=${form} change=${change} facilities=${facilities} />
      </div>
      ${state.wrong?.field === "form" && html`<p class="field"><span class="wrong" role="alert">${state.wrong.text}</span></p>`}
      <${ProblemNote} problem=${state.problem} />
      <div class="actions">
        <button class="button primary" type="submit" disabled=${state.busy}>${state.busy ? "Computing…" : "Compute"}</button>
        <button class="button" type="button" disabled=${state.busy} onClick=${() => (setForm(EMPTY), setState({}))}>Start anew</button>
      </div>
      ${state.found && html`<${Answer} found=${state.found} />`}
    </form>
  </${Panel}>`;
}
