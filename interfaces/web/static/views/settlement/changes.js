// Two revisions of a settlement side by side, and what the difference comes from.
import { Facts, ProblemNote } from "../../components/parts.js";
import { Table } from "../../components/table.js";
import { html, useMemo } from "../../dom.js";
import { count, sentence } from "../../format.js";
import { useQuery } from "../../query.js";
import { amount, readableFormula, signed } from "./money.js";

const WHY = {
  rule: "A new settlement rule",
  event: "The DR event: window, commitments, results or prices",
  baseline: "Another baseline",
  meter: "Late or corrected readings",
  portfolio: "Other facilities of the portfolio",
};
const MOST_UNCHANGED = 40;
const keyOf = (one) => `${one.unit} ${one.component}`;

/** Every line of both, or those that changed where there are many. */
function sideBySide(found, before) {
  const changes = new Map(found.resettlement.changes.map((one) => [keyOf(one), one]));
  const [old, now] = [before?.lines || [], found.lines].map((lines) => new Map(lines.map((one) => [keyOf(one), one])));
  const rows = [...new Set([...old.keys(), ...now.keys(), ...changes.keys()])].map((key) => {
    const { unit, component } = now.get(key) || old.get(key) || changes.get(key);
    return { unit, component, old: old.get(key), now: now.get(key), change: changes.get(key) };
  });
  return rows.length > MOST_UNCHANGED ? rows.filter((one) => one.change) : rows;
}

const Side = ({ line, text }) => html`<strong>${amount(text ?? line?.amount)}</strong>${line?.formula && html`<div class="soft small">${readableFormula(line.formula)}</div>`}`;

/** `because`: for a key of one facility what of its part changed, where amounts would tell of others. */
export function Reasons({ document: found, because }) {
  const { by_reason: reasons, difference } = found.resettlement;
  const worth = (text) => `${signed(text)} ${found.currency}`;
  const items = reasons.length
    ? reasons.map((one) => [WHY[one.why] || sentence(one.why), worth(one.amount)])
    : because.map((why) => [WHY[why] || sentence(why), "changed"]);
  return html`<h3>Why revision ${found.revision} differs from ${found.resettlement.of_revision}</h3>
    <${Facts} items=${[...items, ["Difference", html`<strong>${worth(difference)}</strong>`]]} />`;
}

export function Changes({ id, document: found }) {
  const { of_revision: earlier } = found.resettlement;
  const query = useQuery(`/api/dr-events/${id}/settlement?revision=${earlier}`);
  const rows = useMemo(() => sideBySide(found, query.data), [found, query.data]);
  const columns = useMemo(() => [
    { id: "unit", label: "Unit", header: true, cell: (one) => one.unit },
    { id: "component", label: "For", cell: (one) => sentence(one.component) },
    { id: "difference", label: `Difference, ${found.currency}`, number: true, cell: (one) => (one.change ? html`<strong>${signed(one.change.difference)}</strong>` : html`<span class="faint">none</span>`) },
    { id: "old", label: `Revision ${earlier}`, number: true, cell: (one) => html`<${Side} line=${one.old} text=${one.change?.old} />` },
    { id: "now", label: `Revision ${found.revision}`, number: true, cell: (one) => html`<${Side} line=${one.now} text=${one.change?.new} />` },
  ], [found]);
  const note = rows.length < found.lines.length ? `the ${count(rows.length)} lines that changed` : "";
  return html`<section class="whole"><h3>Revisions ${earlier} and ${found.revision} side by side <span class="note">${note}</span></h3>
    <${ProblemNote} problem=${query.problem} />
    <${Table} caption=${`Lines of revisions ${earlier} and ${found.revision}`} columns=${columns} rows=${rows} rowKey=${keyOf} empty="No line changed." /></section>`;
}
