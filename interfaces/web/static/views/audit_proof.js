// What can be taken away: the audit trail as files, and the proof that it stands as it was sealed.
import { Problem, download, saved } from "../api.js";
import { LoadedOrRefused } from "../components/refused.js";
import { Chip, Facts, Panel, ProblemNote } from "../components/parts.js";
import { toast } from "../components/toasts.js";
import { Icon } from "../components/glyph.js";
import { html, useState } from "../dom.js";
import { count, momentSeconds, short, span } from "../format.js";
import { useQuery } from "../query.js";

const LOG = "demand-response";
const COLUMNS = ["position", "recorded_at", "who", "facility_id", "what", "why", "topic", "cause_kind", "cause_position", "causation_id", "domain_event_id", "correlation_id", "trace_id"];

export const useLedger = (may) => useQuery(may ? "/api/audit/ledger" : null, { everyMs: 10_000 });

/** A cell as RFC 4180 has it; what a spreadsheet would take for a formula gets an apostrophe. */
function cell(value) {
  const text = value === null || value === undefined ? "" : String(value);
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** `rows` as objects, with `columns` of them. */
export const csvText = (columns, rows) => `${[columns, ...rows.map((row) => columns.map((name) => cell(row[name])))].map((cells) => cells.join(",")).join("\r\n")}\r\n`;

export const csvOf = (steps) =>
  csvText(COLUMNS, steps.map(({ caused_by: { kind, position, causation_id }, ...step }) => ({ ...step, cause_kind: kind, cause_position: position, causation_id })));

/** The newest checkpoint and how much it signs, of the log of demand response. */
export function LedgerFacts({ ledger }) {
  const { checkpoint, mismatches } = ledger;
  const log = ledger.logs.find((one) => one.log === LOG);
  return html`
    ${mismatches.length > 0 &&
    html`<div class="problem" role="alert"><strong>The ledger does not hold</strong>
      ${mismatches.map((one) => html`<span>${one.found_by}, since ${momentSeconds(one.since)}: ${one.detail}</span>`)}
      <span>Run <code>gridproof audit verify</code>, and tell whoever answers for the log.</span></div>`}
    <${Facts} items=${[
      ["Checkpoint", checkpoint ? `#${checkpoint.number}, ${momentSeconds(checkpoint.at)}` : "none yet"],
      ["Age", checkpoint && span(checkpoint.age_s)],
      ["Sealed up to", `position ${count(log.sealed_to)} of ${count(log.head)}`],
      ["Not sealed yet", `${count(log.unsealed)} domain events${log.oldest_unsealed_at ? `, the oldest of ${momentSeconds(log.oldest_unsealed_at)}` : ""}`],
      ["Root", checkpoint && html`<code title=${log.root}>${log.root.slice(0, 16)}…</code>`],
      ["Signed by", checkpoint && html`<code title=${checkpoint.public_key}>${checkpoint.key_id}</code>`],
    ]} />`;
}

/** Whether what the slider shows is under a checkpoint. */
function provableOf(ledger, shown) {
  if (ledger.mismatches.length) return { tone: "bad", shape: "cross", words: "the ledger does not hold" };
  const sealedTo = ledger.checkpoint ? ledger.logs.find((one) => one.log === LOG).sealed_to : 0;
  const sealed = shown.filter((step) => step.position <= sealedTo).length;
  if (sealed === shown.length) return { tone: "ok", shape: "check", words: `provable: ${sealed === 1 ? "its one step is" : `all ${count(sealed)} steps are`} sealed` };
  if (!sealed) return { tone: "warn", shape: "half", words: "not sealed yet" };
  return { tone: "busy", shape: "half", words: `${count(sealed)} of ${count(shown.length)} steps are sealed` };
}

/** `shown`: the steps up to the slider's place; `position`: that place, null for now. */
export function Proof({ id, name, shown, position, ledger }) {
  const [busy, setBusy] = useState(null);
  const [problem, setProblem] = useState(null);
  const stem = `gridproof-audit-${name.replace(/[^\w.-]+/g, "_").slice(0, 60)}-${position ?? shown.at(-1).position}`;
  const exported = (kind, make) => async () => {
    setBusy(kind);
    setProblem(null);
    try {
      await make();
      toast(`${kind} saved.`);
    } catch (error) {
      setProblem(error instanceof Problem ? error : new Problem(0, { title: "This went wrong", detail: error.message }));
    }
    setBusy(null);
  };
  const files = [
    ["JSON", "The audit trail with the state as of the slider's moment", () => download(`/api/audit/dr-events/${id}${position === null ? "" : `?as_of=${position}`}`, `${stem}.json`)],
    ["CSV", "The steps up to the slider's moment, a row each", async () => saved(new Blob([csvOf(shown)], { type: "text/csv;charset=utf-8" }), `${stem}.csv`)],
    ["Proof", "The history as it was sealed; gridproof audit check checks it on any machine", () => download(`/api/audit/dr-events/${id}/proof`, `${stem}-proof.json`)],
  ];
  return html`<${Panel} title="Proof and export" className="span-4 proof">
    <div class="stack">
      <${LoadedOrRefused} query=${ledger} what="the ledger" roles="auditor, operator or admin" lines=5>${(found) => html`
        <div><${Chip} look=${provableOf(found, shown)} /></div><${LedgerFacts} ledger=${found} />`}</${LoadedOrRefused}>
      <div class="actions">
        ${files.map(([kind, title, make]) => html`<button class="button small" type="button" key=${kind} title=${title} disabled=${busy !== null}
          onClick=${exported(kind, make)}><${Icon} name="download" />${busy === kind ? "Saving…" : kind}</button>`)}
        <button class="button small" type="button" title="The view as of the slider's moment, with every step" onClick=${() => print()}>Print</button>
      </div>
      <${ProblemNote} problem=${problem} />
      <p class="small faint">Check a proof anywhere: <code>gridproof audit check FILE</code>. Correlation of this story: <code title=${shown[0].correlation_id}>${short(shown[0].correlation_id)}</code></p>
    </div>
  </${Panel}>`;
}
