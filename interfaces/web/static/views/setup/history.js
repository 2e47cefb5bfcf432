// Past readings: a file is uploaded and checked, imported, and taken back again. Role admin alone.
import { Problem, get, send } from "../../api.js";
import { ConfirmDialog } from "../../components/dialog.js";
import { Chip, Empty, Panel, ProblemNote } from "../../components/parts.js";
import { LoadedOrRefused } from "../../components/refused.js";
import { Table } from "../../components/table.js";
import { html, useEffect, useMemo, useState } from "../../dom.js";
import { NONE, count, day, facilities, moment, words } from "../../format.js";
import { refetch, useQuery } from "../../query.js";
import { upload } from "../../transfer.js";
import { FacilityNames } from "./fields.js";
import { Progress } from "./progress.js";

const PATH = "/api/history";
const MOST_BYTES = 64_000_000;
const LOOK_MS = 700;
const LOOK_MOST_MS = 5_000;
const PHASES = { reading: "Reading the file", checking: "Checking the rows", storing: "Storing", removing: "Taking the rows back" };
const isOpen = (task) => ["waiting", "running"].includes(task?.state);
const dated = (text) => (text ? `${day(text)} ${text.slice(0, 4)}` : NONE);

/** The task as it is now: asked for again and again while it is open, ever more seldom. */
function useTask(first) {
  const [task, setTask] = useState(first);
  useEffect(() => setTask(first), [first?.task_id, first?.state]);
  useEffect(() => {
    if (!isOpen(task)) return undefined;
    let isGone = false;
    let pauseMs = LOOK_MS;
    const look = async () => {
      const found = await get(`${PATH}/tasks/${task.task_id}`, { anew: true }).catch((problem) => (problem.mayPass ? task : null));
      if (isGone) return;
      if (found) setTask(found);
      if (isOpen(found)) timer = setTimeout(look, (pauseMs = Math.min(pauseMs * 1.1, LOOK_MOST_MS)));
      else refetch(PATH);
    };
    let timer = setTimeout(look, pauseMs);
    return () => {
      isGone = true;
      clearTimeout(timer);
    };
  }, [task?.task_id, isOpen(task)]);
  return task;
}

function UnderWay({ task: { state, phase, done, total } }) {
  const what = state === "waiting" || !phase ? "Waiting for its turn…" : PHASES[phase];
  const rows = total ? `: ${count(done)} of ${count(total)} rows` : done ? `: ${count(done)} rows` : "…";
  return html`<${Progress} words=${phase ? `${what}${rows}` : what} done=${done} of=${total} />`;
}

const OF_FACILITY = [
  { id: "facility", label: "Facility", header: true, sort: (one) => one.facility_id, cell: (one) => one.facility_id, names: true },
  { id: "rows", label: "Rows", number: true, sort: (one) => one.rows, cell: (one) => count(one.rows) },
  { id: "step", label: "Step", number: true, sort: (one) => one.step_s, cell: (one) => `${one.step_s / 60} min` },
  { id: "from", label: "From", sort: (one) => one.starts_at, cell: (one) => html`<span class="nowrap">${dated(one.starts_at)}</span>` },
  { id: "to", label: "To", sort: (one) => one.ends_at, cell: (one) => html`<span class="nowrap">${dated(one.ends_at)}</span>` },
  { id: "missing", label: "Missing", number: true, sort: (one) => one.missing, cell: (one) => (one.missing ? `${count(one.missing)} in ${one.gaps === 1 ? "1 gap" : `${count(one.gaps)} gaps`}` : "none") },
];
const OF_FINDING = [
  { id: "facility", label: "Facility", header: true, sort: (one) => one.facility_id, cell: (one) => one.facility_id, names: true },
  { id: "what", label: "What", sort: (one) => one.finding.kind, cell: (one) => one.finding.kind },
  { id: "from", label: "From", sort: (one) => one.finding.starts_at, cell: (one) => html`<span class="nowrap">${moment(one.finding.starts_at)}</span>` },
  { id: "line", label: "Line", number: true, sort: (one) => one.finding.line, cell: (one) => one.finding.line ?? NONE },
  { id: "detail", label: "Found", wrap: true, cell: (one) => one.finding.detail },
];

/** The dry run: what would be stored, and what is odd about it. */
function Checked({ checked, busy, take }) {
  const odd = Object.entries(checked.counts).map(([kind, number]) => `${count(number)} ${kind}`).join(", ");
  return html`<div class="stack">
    <div class="row spread"><p role="status"><strong>${count(checked.rows)} rows of ${facilities(checked.facilities)}</strong> can be imported. Nothing is stored yet.</p>
      <button class="button primary" type="button" disabled=${busy} onClick=${take}>Import them</button></div>
    <${Table} caption="What would be imported" columns=${OF_FACILITY} rows=${checked.listed} rowKey=${(one) => one.facility_id} first="facility" tall />
    ${checked.facilities > checked.listed.length && html`<p class="faint small">The first ${count(checked.listed.length)} of ${facilities(checked.facilities)}.</p>`}
    ${checked.findings.length > 0 && html`<details><summary>Odd, and not refused: ${odd}</summary>
      <${Table} caption="Odd rows" columns=${OF_FINDING} rows=${checked.findings} rowKey=${(one) => `${one.facility_id} ${one.finding.kind} ${one.finding.starts_at}`} tall /></details>`}
  </div>`;
}

const linesOf = {
  imported: ({ rows, added, changed, unchanged }) => `${count(rows)} rows: ${count(added)} new, ${count(changed)} corrected, ${count(unchanged)} stored before.`,
  taken_back: ({ removed, restored, kept, corrected, failed }) =>
    `${count(removed)} rows removed, ${count(restored)} with the value of an earlier import again, ${count(kept)} kept; ${count(corrected)} quarter-hours corrected.` +
    (failed.length ? ` Not done: ${failed.join(", ")}; take it back again.` : ""),
};

function Outcome({ task, busy, take }) {
  const { result, problem, kind } = task;
  const title = { check_history: "The file is refused", import_history: "It was not imported as a whole", take_back_history: "It was not taken back as a whole" }[kind];
  if (problem) {
    return html`<div class="stack"><${ProblemNote} problem=${new Problem(422, { title, detail: problem })} />
      ${kind === "import_history" && html`<div><button class="button" type="button" disabled=${busy} onClick=${take}>Import it again</button></div>`}</div>`;
  }
  if (result?.checked) return html`<${Checked} checked=${result.checked} busy=${busy} take=${take} />`;
  const name = result?.imported ? "imported" : "taken_back";
  return result?.[name] ? html`<p role="status"><strong>${name === "imported" ? "Imported." : "Taken back."}</strong> ${linesOf[name](result[name])}</p>` : null;
}

function File({ busy, sent }) {
  const [facility, setFacility] = useState("");
  const [share, setShare] = useState(null);
  const [problem, setProblem] = useState(null);
  const [name, setName] = useState("");
  const chosen = async ({ target }) => {
    const [picked] = target.files;
    setProblem(null);
    if (!picked) return;
    setName(picked.name);
    if (picked.size > MOST_BYTES) return setProblem(new Problem(413, { title: "The file is too large for the page", detail: "Use gridproof telemetry import FILE on the machine." }));
    setShare(0);
    const of = { name: picked.name, ...(facility.trim() ? { facility_id: facility.trim() } : {}) };
    try {
      sent(await upload(`${PATH}/uploads?${new URLSearchParams(of)}`, picked, setShare));
    } catch (error) {
      setProblem(error instanceof Problem ? error : new Problem(0, { title: "This went wrong", detail: error.message }));
    }
    target.value = "";
    setShare(null);
  };
  const off = busy || share !== null;
  return html`<div class="form">
    <div class="field"><label for="history-facility">Facility</label><input class="input" id="history-facility" list="history-facilities" autocomplete="off" disabled=${off} value=${facility} onInput=${({ target }) => setFacility(target.value)} />
      <${FacilityNames} id="history-facilities" /><span class="hint">Only of a file that names none, as Green Button XML</span></div>
    <div class="field"><label for="history-file">File of readings</label><input class="input" id="history-file" type="file" accept=".csv,.parquet,.xml" disabled=${off} onChange=${chosen} />
      <span class="hint">It is checked first. A larger one: <code>gridproof telemetry import FILE</code></span></div>
    ${share !== null && html`<div class="whole"><${Progress} words=${`Sending ${name}: ${Math.round(share * 100)} %`} done=${share} of=${1} /></div>`}
    ${problem && html`<div class="whole"><${ProblemNote} problem=${problem} /></div>`}
  </div>`;
}

const LOOKS = {
  complete: { tone: "ok", shape: "check" },
  "not complete": { tone: "warn", shape: "triangle" },
  "taken back": { tone: "idle", shape: "cross" },
  "partly taken back": { tone: "warn", shape: "triangle" },
};
const columnsOf = (ask, isServed) => [
  { id: "begun", label: "Begun", header: true, sort: (one) => one.begun_at, cell: (one) => html`<span class="nowrap">${moment(one.begun_at)}</span>` },
  {
    id: "act",
    label: html`<span class="visually-hidden">Actions</span>`,
    fit: true,
    cell: (one) => isServed && one.state !== "taken back" && html`<button class="button small danger" type="button" aria-label=${`Take back the import of ${moment(one.begun_at)}`} onClick=${() => ask(one)}>Take back…</button>`,
  },
  { id: "rows", label: "Rows", number: true, sort: (one) => one.rows, cell: (one) => count(one.rows) },
  { id: "of", label: "Facilities", number: true, sort: (one) => one.facilities, cell: (one) => count(one.facilities) },
  { id: "span", label: "Of the days", sort: (one) => one.starts_at, cell: (one) => html`<span class="nowrap">${dated(one.starts_at)} – ${dated(one.ends_at)}</span>` },
  { id: "state", label: "State", sort: (one) => one.state, cell: (one) => html`<${Chip} look=${{ ...LOOKS[one.state], words: one.state }} />` },
  { id: "by", label: "By", sort: (one) => one.begun_by, cell: (one) => one.begun_by, names: true },
  { id: "why", label: "Why it was taken back", wrap: true, cell: (one) => one.reason || NONE },
];

function Body({ found }) {
  const [asked, ask] = useState(null);
  const [own, setOwn] = useState(null);
  const [problem, setProblem] = useState(null);
  // What was just asked for, until the list knows it.
  useEffect(() => own?.task_id === found.task?.task_id && setOwn(null), [found]);
  const task = useTask(own || found.task);
  const busy = isOpen(task);
  const columns = useMemo(() => columnsOf(ask, found.is_served && !busy), [found.is_served, busy]);
  const sent = (answer) => {
    setProblem(null);
    setOwn(answer);
    refetch(PATH);
  };
  const take = () => send("POST", `${PATH}/imports`, { task_id: task.task_id }).then(sent, setProblem);
  const back = async (reason) => sent(await send("POST", `${PATH}/imports/${asked.import_id}/take-back`, { reason }));
  return html`
    <${Panel} title="Past readings" note="CSV, Parquet or Green Button XML, 64 MB at most">
      ${found.is_served
        ? html`<div class="stack"><${File} busy=${busy} sent=${sent} />
            ${task && html`<div class="stack" aria-live="polite"><h3>${task.file_name || words(task.kind)}</h3>
              ${busy ? html`<${UnderWay} task=${task} />` : html`<${Outcome} task=${task} busy=${busy} take=${take} />`}</div>`}
            <${ProblemNote} problem=${problem} /></div>`
        : html`<p class="soft">The servers of this system are not run by <code>gridproof up</code>, or that does not run now. Past readings are imported on the machine of Gridproof:</p>
            <pre class="body" tabindex="0" aria-label="Command for history">gridproof telemetry import FILE</pre>`}
    </${Panel}>
    <${Panel} title="Imports of past readings" flush>
      ${found.items.length ? html`<${Table} caption="Imports of past readings" columns=${columns} rows=${found.items} rowKey=${(one) => one.import_id} first="-begun" tall />` : html`<${Empty} title="Nothing was imported yet" />`}
    </${Panel}>
    ${asked && html`<${ConfirmDialog} title="Take this import back?" confirm="Take it back" danger perform=${back} close=${() => ask(null)}
      consequence=${html`Its ${count(asked.rows)} rows leave the series: an interval has afterwards what the other imports say of it, and readings of meters stay. Measurements that used them are made again, and their days are sealed again.`} />`}`;
}

export function History() {
  const query = useQuery(`${PATH}/imports`);
  return html`<${LoadedOrRefused} query=${query} what="imports of past readings" roles="admin" height="12rem">${(found) => html`<${Body} found=${found} />`}</${LoadedOrRefused}>`;
}
