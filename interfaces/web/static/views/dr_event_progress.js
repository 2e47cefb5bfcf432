// How far a DR event has come, and its figures.
import { isNotMeasurable } from "../components/dr_event_table.js";
import { Chip, Figures } from "../components/parts.js";
import { html } from "../dom.js";
import { clockSeconds, count, kw, percent, span, words } from "../format.js";
import { deliveryLooks } from "../states.js";

const ENDS = { rejected: "rejected_at", cancelled: "cancelled_at", cancelled_while_active: "cancelled_at" };

/** `[words, moment]` of each step; those to come have none. One that ended early ends there. */
export function stepsOf(row) {
  const steps = [
    ["Notified", row.opened_at],
    ["Accepted", row.accepted_at],
    ["Scheduled", row.scheduled_at],
    ["Preparing", row.preparation_started_at],
    ["Active", row.started_at],
    ["Recovering", row.ended_at || row.released_at],
    ["Completed", row.completed_at],
    [isNotMeasurable(row) ? "Not measurable" : "Measured", row.measured_at],
  ];
  const early = ENDS[row.status];
  if (!early) return steps;
  const reached = steps.filter(([, at]) => at);
  const end = [words(row.status), row[early] || row.changed_at, true];
  return [...reached.filter(([, at]) => at <= end[1]), end, ...reached.filter(([, at]) => at > end[1])];
}

export function Progress({ row }) {
  const steps = stepsOf(row);
  const last = steps.findLastIndex(([, at]) => at);
  const stateOf = (n, failed) => (failed ? "failed" : n < last ? "passed" : n > last ? "ahead" : last === steps.length - 1 ? "passed" : "present");
  return html`<ol class="steps" aria-label="How far it has come">
    ${steps.map(
      ([name, at, failed], n) => html`<li key=${name} data-step=${stateOf(n, failed)} aria-current=${n === last ? "step" : undefined}>
        <b>${name}</b><time datetime=${at || undefined}>${at ? clockSeconds(at) : "to come"}</time></li>`,
    )}
  </ol>`;
}

const sumOf = (parts, value) => parts.reduce((sum, part) => sum + (value(part) ?? 0), 0);

/** Committed now, by the rows; what is delivered so far where it is not measured yet. Unknown is never zero. */
function deliveredOf(row, parts) {
  const without = row.unmeasured_facilities.length;
  if (isNotMeasurable(row)) return { value: null, hint: `not measurable: ${count(without)} ${without === 1 ? "facility" : "facilities"}` };
  if (row.delivered_kw !== null) {
    const how = row.remeasured_at ? "measured again on late readings" : "measured";
    return { value: row.delivered_kw, hint: without ? `${how}, without ${count(without)} not measurable` : how };
  }
  const soFar = sumOf(parts, (part) => part.delivered_kw_so_far);
  return soFar > 0 ? { value: soFar, hint: "so far, by the meters" } : { value: null, hint: row.status === "active" ? "the meters are being read" : "not measured yet" };
}

export function DREventFigures({ row, parts }) {
  const delivered = deliveredOf(row, parts);
  const share = delivered.value !== null && row.target_kw ? delivered.value / row.target_kw : null;
  const batch = row.batch;
  const committed = parts.filter((part) => part.committed_at).length;
  return html`<${Figures} label="Figures of the DR event" items=${[
    { label: "Target", value: kw(row.target_kw), unit: "kW", hint: row.starts_at ? `for ${span((Date.parse(row.ends_at) - Date.parse(row.starts_at)) / 1000)}` : "" },
    { label: "Capacity", value: kw(row.capacity_kw || null), unit: "kW", hint: row.capacity_source ? `by ${words(row.capacity_source)}${row.capacity_degraded_kw ? `, ${kw(row.capacity_degraded_kw)} degraded` : ""}` : "" },
    { label: "Delivered", value: kw(delivered.value), unit: "kW", hint: delivered.hint },
    { label: "Of the target", value: percent(share), hint: row.outcome ? html`<${Chip} kind="outcome" state=${row.outcome} />` : "no outcome yet", ...(row.outcome ? deliveryLooks(share) : {}) },
    { label: "Committed", value: count(batch?.committed ?? committed), unit: `of ${count(row.facility_ids.length)}`, hint: batch ? `${count(batch.failed)} failed, ${count(batch.restored)} restored` : "facilities" },
  ]} />`;
}
