// A portfolio file: what it would change, then its import. Role admin alone.
import { Problem, send } from "../../api.js";
import { Empty, Panel, ProblemNote } from "../../components/parts.js";
import { Table } from "../../components/table.js";
import { html, useState } from "../../dom.js";
import { count } from "../../format.js";
import { refetch } from "../../query.js";
import { hrefTo } from "../../router.js";
import { follow } from "../../transfer.js";
import { History } from "./history.js";
import { Progress } from "./progress.js";

const PATH = "/api/portfolio/imports";
const MOST_CHARACTERS = 200_000;
const plain = (value) => (value === null ? "none" : typeof value === "object" ? JSON.stringify(value) : String(value));

/** A line for each member that differs; of what is new, one. */
function linesOf({ utilities, programs, facilities }) {
  const line = (kind, id, what, before = "", after = "") => ({ id: `${kind} ${id}`, what, before, after });
  const members = (kind, id, one, word) =>
    one.is_new || !one.changes.length ? [line(kind, id, one.is_new ? "new" : word)] : one.changes.map(({ member, before, after }) => line(kind, id, member, plain(before), plain(after)));
  return [
    ...utilities.map((one) => line("utility", one.utility_id, one.is_new ? "new" : one.changed.join(", "))),
    ...programs.flatMap((one) => members("program", one.program_id, one, `version ${one.version}`)),
    ...facilities.flatMap((one) => members("facility", one.facility_id, one, "changed")),
  ];
}

const COLUMNS = [
  { id: "id", label: "Entry", header: true, cell: (one) => one.id },
  { id: "what", label: "What", wrap: true, cell: (one) => one.what },
  { id: "before", label: "Recorded", wrap: true, cell: (one) => one.before },
  { id: "after", label: "In the file", wrap: true, cell: (one) => one.after },
];

function Difference({ report, busy, take }) {
  const lines = linesOf(report.changes);
  const size = `${count(report.utilities)} utilities, ${count(report.programs)} programs, ${count(report.facilities)} facilities`;
  if (!report.dry_run) return html`<${Panel} title="Imported" note=${size}><p role="status">${report.domain_events || lines.length ? `${count(report.domain_events)} domain events were recorded.` : "Nothing was changed."}</p></${Panel}>`;
  return html`<${Panel} title="What it would change" note=${size} flush end=${lines.length > 0 && html`<button class="button primary" type="button" disabled=${busy} onClick=${take}>Import it</button>`}>
    ${lines.length ? html`<${Table} caption="Differences" columns=${COLUMNS} rows=${lines} rowKey=${(one) => `${one.id} ${one.what}`} tall />` : html`<${Empty} title="Nothing: all of it is recorded already" />`}
  </${Panel}>`;
}

export function PortfolioFile() {
  const [file, setFile] = useState(null);
  const [report, setReport] = useState(null);
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(null);
  const ask = async (text, dryRun) => {
    setBusy({ words: dryRun ? "Comparing with what is recorded…" : "Importing…" });
    setProblem(null);
    const told = ({ done, of }) => setBusy({ words: `${count(done)} of ${count(of)} entries`, done, of });
    try {
      setReport(await (dryRun ? send("POST", PATH, { file: text, dry_run: true }) : follow(`${PATH}/progress`, { file: text }, told)));
      if (!dryRun) refetch("/api/facilities");
    } catch (error) {
      setProblem(error instanceof Problem ? error : new Problem(0, { title: "This went wrong", detail: error.message }));
    }
    setBusy(null);
  };
  const chosen = async ({ target }) => {
    setReport(null);
    setFile(null);
    const [picked] = target.files;
    if (!picked) return;
    const text = picked.size > MOST_CHARACTERS ? null : await picked.text();
    if (text === null) return setProblem(new Problem(413, { title: "The file is too large for the page", detail: "Use gridproof facilities import FILE." }));
    setFile(text);
    await ask(text, true);
  };
  return html`<div class="page">
    <div class="page-head"><div><p class="crumb"><a href=${hrefTo("setup")}>Setup</a></p><h1 tabindex="-1">Import</h1></div></div>
    <${Panel} title="Portfolio file" note="YAML or JSON, 200 kB and 200 entries at most">
      <div class="stack"><div class="field"><label for="portfolio-file">File</label><input class="input" id="portfolio-file" type="file" accept=".yaml,.yml,.json" disabled=${Boolean(busy)} onChange=${chosen} />
        <span class="hint">You see what it changes before anything is recorded. A larger one: <code>gridproof facilities import FILE</code></span></div>
      ${busy && html`<${Progress} ...${busy} />`}
      <${ProblemNote} problem=${problem} /></div>
    </${Panel}>
    ${report && html`<${Difference} report=${report} busy=${Boolean(busy)} take=${() => ask(file, false)} />`}
    <${History} />
  </div>`;
}
