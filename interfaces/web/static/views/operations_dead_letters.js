// Dead letters: work that could not be done, for a person to replay or to discard.
import { send } from "../api.js";
import { ConfirmDialog, Dialog } from "../components/dialog.js";
import { Chip, Facts, Loaded, Panel, Segments } from "../components/parts.js";
import { LoadedOrRefused } from "../components/refused.js";
import { Table } from "../components/table.js";
import { toast } from "../components/toasts.js";
import { html, useMemo, useState } from "../dom.js";
import { momentSeconds, readable, sentence, span } from "../format.js";
import { refetch, useQuery } from "../query.js";
import { ageSeconds } from "../server_clock.js";

const PATH = "/api/dead-letters";
const STATUSES = [["open", "Open"], ["replayed", "Replayed"], ["discarded", "Discarded"]];
const QUEUES = ["bms_command", "callback", "meter_message", "telemetry_batch", "projection", "saga_command", "correction"];
const LOOKS = {
  open: { tone: "bad", shape: "triangle", words: "open" },
  replayed: { tone: "ok", shape: "check", words: "replayed" },
  discarded: { tone: "idle", shape: "cross", words: "discarded" },
};
const QUESTIONS = {
  replay: {
    title: (letter) => `Replay the dead letter of ${letter.subject}?`,
    consequence: "The work is put to those who do it, once more, and the letter counts as replayed. If it fails again, it comes back as a dead letter.",
    confirm: "Replay it",
    done: "It is being done again.",
  },
  discard: {
    title: (letter) => `Discard the dead letter of ${letter.subject}?`,
    consequence: "It will not be done any more. The letter is kept, with your reason. This cannot be taken back.",
    confirm: "Discard it",
    danger: true,
    done: "Discarded.",
  },
};

function columnsOf(open, ask, status) {
  return [
    { id: "subject", label: "About", header: true, sort: (one) => one.subject, cell: (one) => one.subject },
    { id: "queue", label: "Queue", sort: (one) => one.queue, cell: (one) => html`<span class="nowrap">${sentence(one.queue)}</span>` },
    { id: "reason", label: "Reason", wrap: true, value: (one) => one.reason, cell: (one) => readable(one.reason) },
    { id: "parked", label: "Parked", sort: (one) => one.parked_at, cell: (one) => html`<span class="nowrap" title=${`${span(ageSeconds(one.parked_at))} ago`}>${momentSeconds(one.parked_at)}</span>` },
    ...(status === "open" ? [] : [{ id: "decided", label: "Decided", wrap: true, sort: (one) => one.decided_at, cell: (one) => html`${momentSeconds(one.decided_at)} by ${one.decided_by}: ${one.decision_reason}` }]),
    {
      id: "act",
      label: html`<span class="visually-hidden">Actions</span>`,
      fit: true,
      cell: (one) => html`<span class="buttons">
        <button class="button small" type="button" aria-label=${`Show the dead letter of ${one.subject}`} onClick=${() => open(one.dead_letter_id)}>Show</button>
        ${one.status === "open" && html`
          <button class="button small" type="button" aria-label=${`Replay the dead letter of ${one.subject}`} onClick=${() => ask({ kind: "replay", letter: one })}>Replay…</button>
          <button class="button small danger" type="button" aria-label=${`Discard the dead letter of ${one.subject}`} onClick=${() => ask({ kind: "discard", letter: one })}>Discard…</button>`}
      </span>`,
    },
  ];
}

/** Its body as it was parked; JSON with its lines broken. */
function bodyText(body) {
  try {
    return JSON.stringify(JSON.parse(body), null, 2);
  } catch {
    return body; // no JSON, or cut because it is long
  }
}

function Details({ id, close }) {
  const query = useQuery(`${PATH}/${id}`);
  return html`<${Dialog} title="Dead letter" close=${close}>
    <div class="dialog-body"><${Loaded} query=${query} lines=6>${(letter) => html`
      <${Facts} items=${[
        ["About", letter.subject],
        ["Queue", sentence(letter.queue)],
        ["Status", html`<${Chip} look=${LOOKS[letter.status]} />`],
        ["Reason", letter.reason],
        ["Parked", momentSeconds(letter.parked_at)],
        ["Decided", letter.decided_at && `${momentSeconds(letter.decided_at)} by ${letter.decided_by}`],
        ["Because", letter.decision_reason],
        ["Id", html`<code>${letter.dead_letter_id}</code>`],
      ]} />
      <pre class="body" tabindex="0" aria-label="What could not be done">${bodyText(letter.body)}</pre>`}</${Loaded}></div>
    <div class="dialog-foot"><button class="button" type="button" onClick=${close}>Close</button></div>
  </${Dialog}>`;
}

function Question({ asked: { kind, letter }, close }) {
  const { title, done, ...words } = QUESTIONS[kind];
  const finished = () => {
    toast(done);
    refetch(PATH);
    refetch("/api/operations");
  };
  const perform = (reason) => send("POST", `${PATH}/${letter.dead_letter_id}/${kind}`, { reason });
  const about = html`<p>${words.consequence}</p><p><strong>${letter.subject}</strong>: ${letter.reason}</p>`;
  return html`<${ConfirmDialog} ...${words} title=${title(letter)} consequence=${about} hint="Kept with the letter and your key." perform=${perform} close=${close} done=${finished} />`;
}

export function DeadLetters() {
  const [status, setStatus] = useState("open");
  const [queue, setQueue] = useState("");
  const [opened, open] = useState(null);
  const [asked, ask] = useState(null);
  const query = useQuery(`${PATH}?status=${status}&limit=200${queue && `&queue=${queue}`}`, { topics: ["alert"], everyMs: 10_000 });
  const columns = useMemo(() => columnsOf(open, ask, status), [status]);
  const text = useMemo(() => (one) => `${one.subject} ${one.queue} ${one.reason}`, []);
  const tools = html`<${Segments} label="Which dead letters" options=${STATUSES} value=${status} choose=${setStatus} />
    <select class="select inline" aria-label="Queue" value=${queue} onChange=${(chosen) => setQueue(chosen.target.value)}>
      <option value="">Every queue</option>${QUEUES.map((name) => html`<option key=${name} value=${name}>${sentence(name)}</option>`)}</select>`;
  return html`<${Panel} title="Dead letters" flush id="dead-letters" className="wall-6">
    <${LoadedOrRefused} query=${query} what="dead letters" roles="operator or admin">${({ items }) => html`<${Table} caption="Dead letters" columns=${columns} rows=${items}
      rowKey=${(one) => one.dead_letter_id} first="-parked" text=${text} tools=${tools} tall download="dead-letters" empty=${status === "open" ? "No dead letter is open." : `None is ${status}.`} />`}</${LoadedOrRefused}>
    ${opened && html`<${Details} id=${opened} close=${() => open(null)} />`}
    ${asked && html`<${Question} asked=${asked} close=${() => ask(null)} />`}
  </${Panel}>`;
}
