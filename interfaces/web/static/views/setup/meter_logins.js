// Logins of meters at the broker of `gridproof up`: made (shown once), revoked. Role admin alone.
import { Problem, get, send } from "../../api.js";
import { ConfirmDialog, Dialog } from "../../components/dialog.js";
import { Chip, Empty, Panel, ProblemNote } from "../../components/parts.js";
import { LoadedOrRefused } from "../../components/refused.js";
import { Table } from "../../components/table.js";
import { toast } from "../../components/toasts.js";
import { html, useEffect, useMemo, useState } from "../../dom.js";
import { refetch, useQuery } from "../../query.js";
import { FacilityNames, Field } from "./fields.js";
import { Progress } from "./progress.js";

const PATH = "/api/meter-logins";
const LOOK_MS = 700;
const LOOKS = 60;
const FILTERED = 12;
const UNDER_WAY = { tone: "busy", shape: "half", words: "under way" };
const VALID = { tone: "ok", shape: "check", words: "may log in" };

/** The task, once it has ended; as it is, where that takes too long. */
async function ended(task, isGone = () => false) {
  let found = task;
  for (let look = 0; look < LOOKS && !isGone() && !["done", "refused"].includes(found.state); look += 1) {
    await new Promise((later) => setTimeout(later, LOOK_MS));
    found = await get(`${PATH}/tasks/${task.task_id}`, { anew: true }).catch((problem) => {
      if (problem.mayPass) return found;
      throw problem;
    });
  }
  return found;
}

const columnsOf = (ask) => [
  { id: "facility", label: "Facility, and user", header: true, sort: (one) => one.facility_id, cell: (one) => html`<code>${one.facility_id}</code>` },
  { id: "state", label: "State", cell: (one) => html`<${Chip} look=${one.task ? { ...UNDER_WAY, words: one.task.is_new ? "being made" : "being revoked" } : VALID} />` },
  {
    id: "act",
    label: html`<span class="visually-hidden">Actions</span>`,
    fit: true,
    cell: (one) => !one.task && html`<button class="button small danger" type="button" aria-label=${`Revoke the login of ${one.facility_id}`} onClick=${() => ask({ kind: "revoke", id: one.facility_id })}>Revoke…</button>`,
  },
];

/** Those of the broker, and those under way. */
function rowsOf({ items, tasks }) {
  const of = (id) => tasks.find((task) => task.facility_id === id);
  const known = items.map(({ facility_id: id }) => ({ facility_id: id, task: of(id) }));
  return [...known, ...tasks.filter(({ facility_id: id }) => !items.some((one) => one.facility_id === id)).map((task) => ({ facility_id: task.facility_id, task }))];
}

/** The one sight of a password, once the broker knows it. Nothing of it is kept by the page once this is closed. */
function Shown({ made, close }) {
  const [task, setTask] = useState(made.task);
  const [problem, setProblem] = useState(null);
  useEffect(() => {
    let isGone = false;
    ended(made.task, () => isGone).then((found) => isGone || setTask(found), (error) => isGone || setProblem(error)).finally(() => refetch(PATH));
    return () => (isGone = true);
  }, []);
  const waits = !problem && ["waiting", "running"].includes(task.state);
  const isRefused = problem || task.state === "refused";
  const own = (label, value) => html`<div class="field"><span class="label">${label}</span><input class="input" readonly aria-label=${label} value=${value} onFocus=${({ target }) => target.select()} /></div>`;
  return html`<${Dialog} title=${`Login of ${made.user}`} close=${close} stays=${waits}>
    <div class="dialog-body">
      ${waits && html`<${Progress} words="Under way: the broker reads its users again…" />`}
      ${isRefused && html`<${ProblemNote} problem=${problem || new Problem(409, { title: "The login was not made", detail: task.problem })} />`}
      ${task.state === "done" && html`<p class="soft">Keep it now: only a hash of the password is stored, and it cannot be shown again. It publishes to
          <code> meters/${made.user}/METER/readings</code> and nothing else.</p>
        ${own("User", made.user)}${own("Password", made.password)}${own("MQTT port", String(made.mqtt_port))}`}
    </div>
    <div class="dialog-foot"><button class="button primary" type="button" disabled=${waits} onClick=${close}>${isRefused ? "Close" : "I have it"}</button></div>
  </${Dialog}>`;
}

function NewLogin({ close, made }) {
  const [id, setId] = useState("");
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  const form = {
    entry: { facility_id: id },
    set: (_, value) => setId(value || ""),
    wrong: (name) => (problem?.document.reasons || []).filter(({ field }) => field === name).map(({ detail }) => detail),
  };
  const make = async (submitted) => {
    submitted.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      made(await send("POST", PATH, { facility_id: id.trim() }));
    } catch (error) {
      setProblem(error instanceof Problem ? error : new Problem(0, { title: "This went wrong", detail: error.message }));
      setBusy(false);
    }
  };
  return html`<${Dialog} title="New meter login" close=${close} stays=${busy}><form noValidate onSubmit=${make}>
    <div class="dialog-body">
      <p class="soft">One for all meters of a facility, with its id as user. The password is drawn, and shown once.</p>
      <${Field} form=${form} path=${["facility_id"]} label="Facility" hint="Its id, as in the portfolio" list="login-facilities" autofocus />
      <${FacilityNames} id="login-facilities" />
      <${ProblemNote} problem=${problem} />
    </div>
    <div class="dialog-foot"><button class="button" type="button" disabled=${busy} onClick=${close}>Cancel</button>
      <button class="button primary" type="submit" disabled=${busy || !id.trim()}>Make it</button></div>
  </form></${Dialog}>`;
}

const ELSEWHERE = html`<div class="panel-body"><p class="soft">The broker of this system is not run by <code>gridproof up</code>, or that does not run now. Logins of meters are made where the users of the broker are; on the machine of an embedded one by:</p>
  <pre class="body" tabindex="0" aria-label="Commands for meter logins">gridproof keys meters create FACILITY
gridproof keys meters list
gridproof keys meters revoke FACILITY</pre></div>`;

export function MeterLogins() {
  const query = useQuery(PATH);
  const [asked, ask] = useState(null);
  const [shown, setShown] = useState(null);
  const columns = useMemo(() => columnsOf(ask), []);
  const made = (answer) => {
    ask(null);
    setShown(answer);
    refetch(PATH);
  };
  const revoke = async () => {
    const task = await ended(await send("DELETE", `${PATH}/${encodeURIComponent(asked.id)}`));
    if (task.state === "refused") throw new Error(task.problem);
    toast(task.state === "done" ? `The meters of ${asked.id} may not log in any more.` : `The login of ${asked.id} is being revoked.`);
    refetch(PATH);
  };
  const isManaged = query.data?.is_managed;
  return html`<${Panel} title="Meter logins" flush note=${isManaged ? `MQTT port ${query.data.mqtt_port}` : undefined}
      end=${isManaged && html`<button class="button" type="button" onClick=${() => ask({ kind: "new" })}>New meter login…</button>`}>
    <${LoadedOrRefused} query=${query} what="logins of meters" roles="admin">${(found) => {
      if (!found.is_managed) return ELSEWHERE;
      const rows = rowsOf(found);
      if (!rows.length) return html`<${Empty} title="No meter may log in yet" />`;
      return html`<${Table} caption="Meter logins" columns=${columns} rows=${rows} rowKey=${(one) => one.facility_id} first="facility" tall
        text=${rows.length > FILTERED ? (one) => one.facility_id : undefined} />`;
    }}</${LoadedOrRefused}>
    ${asked?.kind === "new" && html`<${NewLogin} close=${() => ask(null)} made=${made} />`}
    ${asked?.kind === "revoke" && html`<${ConfirmDialog} title=${`Revoke the login of ${asked.id}?`} confirm="Revoke it" danger reason=${null}
      consequence="Its meters are disconnected and may not log in any more. Their readings are missing until they have another login." perform=${revoke} close=${() => ask(null)} />`}
    ${shown && html`<${Shown} made=${shown} close=${() => setShown(null)} />`}
  </${Panel}>`;
}
