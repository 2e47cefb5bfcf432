// API keys: who has one, when it was used last; made and rotated (shown once), revoked. Role admin alone.
import { Problem, send } from "../../api.js";
import { ConfirmDialog, Dialog } from "../../components/dialog.js";
import { Chip, Panel, ProblemNote } from "../../components/parts.js";
import { LoadedOrRefused } from "../../components/refused.js";
import { Table } from "../../components/table.js";
import { html, useMemo, useState } from "../../dom.js";
import { NONE, moment } from "../../format.js";
import { refetch, useList } from "../../query.js";
import { hrefTo } from "../../router.js";
import { Field, useAll, withValue } from "./fields.js";
import { MeterLogins } from "./meter_logins.js";

const PATH = "/api/keys";
const ROLES = ["operator", "dashboard", "auditor", "utility", "owner", "admin"];
const FILTERED = 12;

function lookOf(key) {
  if (key.revoked_at) return { tone: "idle", shape: "cross", words: `revoked ${moment(key.revoked_at)}` };
  if (!key.is_valid) return { tone: "idle", shape: "ring", words: `expired ${moment(key.expires_at)}` };
  return { tone: "ok", shape: "check", words: key.expires_at ? `until ${moment(key.expires_at)}` : "valid" };
}

const columnsOf = (ask) => [
  { id: "id", label: "Key", header: true, sort: (key) => key.key_id, cell: (key) => html`<code>${key.key_id}</code>` },
  {
    id: "act",
    label: html`<span class="visually-hidden">Actions</span>`,
    fit: true,
    cell: (key) => key.is_valid && html`<span class="buttons">
      <button class="button small" type="button" aria-label=${`Rotate ${key.key_id}`} onClick=${() => ask({ kind: "rotate", key })}>Rotate…</button>
      <button class="button small danger" type="button" aria-label=${`Revoke ${key.key_id}`} onClick=${() => ask({ kind: "revoke", key })}>Revoke…</button></span>`,
  },
  { id: "name", label: "Name", wrap: true, sort: (key) => key.name, cell: (key) => key.name || NONE },
  { id: "role", label: "Role", sort: (key) => key.role, cell: (key) => key.role },
  { id: "scope", label: "Of", sort: (key) => key.utility_id || key.facility_id, cell: (key) => key.utility_id || key.facility_id || NONE },
  { id: "used", label: "Last used", sort: (key) => key.last_used_at, cell: (key) => html`<span class="nowrap">${key.last_used_at ? moment(key.last_used_at) : "never"}</span>` },
  { id: "made", label: "Made", sort: (key) => key.created_at, cell: (key) => html`<span class="nowrap">${moment(key.created_at)}</span>` },
  { id: "state", label: "State", cell: (key) => html`<${Chip} look=${lookOf(key)} />` },
];

/** The one sight of a key. Nothing of it is kept by the page once this is closed. */
function Shown({ issued: { key, api_key: about }, close }) {
  return html`<${Dialog} title=${`Key ${about.key_id}`} close=${close}>
    <div class="dialog-body"><p class="soft">Keep it now: it is stored hashed and cannot be shown again.</p>
      <input class="input" readonly aria-label="The new key" value=${key} onFocus=${({ target }) => target.select()} autofocus /></div>
    <div class="dialog-foot"><button class="button primary" type="button" onClick=${close}>I have it</button></div>
  </${Dialog}>`;
}

function NewKey({ close, issued }) {
  const [entry, setEntry] = useState({ role: "operator", name: null });
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  const utilities = useAll("/api/portfolio/utilities?limit=500");
  const reasons = problem?.document.reasons || [];
  const form = {
    entry,
    set: (at, value) => setEntry((now) => withValue(now, at, value)),
    wrong: (name) => reasons.filter(({ field }) => field === name).map(({ detail }) => detail),
  };
  const make = async (submitted) => {
    submitted.preventDefault();
    setBusy(true);
    setProblem(null);
    const { utility_id: utility, facility_id: facility, expires_at: expires, ...rest } = entry;
    const scope = entry.role === "utility" ? { utility_id: utility } : ["owner", "dashboard"].includes(entry.role) ? { facility_id: facility } : {};
    try {
      issued(await send("POST", PATH, { ...rest, ...scope, expires_at: expires ? `${expires}T00:00:00Z` : null }));
    } catch (error) {
      setProblem(error instanceof Problem ? error : new Problem(0, { title: "This went wrong", detail: error.message }));
      setBusy(false);
    }
  };
  return html`<${Dialog} title="New key" close=${close} stays=${busy}><form noValidate onSubmit=${make}>
    <div class="dialog-body">
      <${Field} form=${form} path=${["role"]} label="Role" kind="select" options=${ROLES.map((one) => [one, one])} />
      ${entry.role === "utility" && html`<${Field} form=${form} path=${["utility_id"]} label="Utility" kind="select" options=${[["", "choose one"], ...(utilities.data || []).map(({ utility_id: one }) => [one, one])]} />`}
      ${["owner", "dashboard"].includes(entry.role) && html`<${Field} form=${form} path=${["facility_id"]} label="Facility" hint=${entry.role === "owner" ? "All that it sees, and opts out and in" : "All that it sees; empty: every facility"} />`}
      <${Field} form=${form} path=${["name"]} label="Name" hint="What you call it; in no domain event" />
      <${Field} form=${form} path=${["expires_at"]} label="Ends on" type="date" hint="At 00:00 UTC; empty: when it is revoked" />
      <${ProblemNote} problem=${problem} />
    </div>
    <div class="dialog-foot"><button class="button" type="button" disabled=${busy} onClick=${close}>Cancel</button>
      <button class="button primary" type="submit" disabled=${busy}>Make it</button></div>
  </form></${Dialog}>`;
}

const QUESTIONS = {
  rotate: { confirm: "Make its successor", consequence: "A new key with the same role, scope and name. The old one works for another 168 hours; to end it earlier, revoke it.", perform: (id) => send("POST", `${PATH}/${id}/rotation`, {}) },
  revoke: { confirm: "Revoke it", danger: true, consequence: "It is refused a few seconds later, and whoever signed in with it is signed out. This cannot be taken back.", perform: (id) => send("DELETE", `${PATH}/${id}`) },
};

function Question({ asked: { kind, key }, close, done }) {
  const { perform, ...words } = QUESTIONS[kind];
  const title = `${kind === "rotate" ? "Rotate" : "Revoke"} ${key.name || key.key_id}?`;
  return html`<${ConfirmDialog} ...${words} title=${title} reason=${null} perform=${() => perform(key.key_id)} close=${close} done=${done} />`;
}

export function Keys() {
  const query = useList(`${PATH}?limit=500`);
  const [asked, ask] = useState(null);
  const [issued, setIssued] = useState(null);
  const columns = useMemo(() => columnsOf(ask), []);
  const done = (answer) => {
    ask(null);
    if (answer.key) setIssued(answer);
    refetch(PATH);
  };
  return html`<div class="page">
    <div class="page-head"><div><p class="crumb"><a href=${hrefTo("setup")}>Setup</a></p><h1 tabindex="-1">Keys</h1></div>
      <div class="actions"><button class="button primary" type="button" onClick=${() => ask({ kind: "new" })}>New key…</button></div></div>
    <${Panel} title="API keys" flush note="stored hashed; each is shown once">
      <${LoadedOrRefused} query=${query} what="keys" roles="admin">${(items) => html`<${Table} caption="API keys" columns=${columns} rows=${items} rowKey=${(key) => key.key_id} first="-made" tall
        text=${items.length > FILTERED ? (key) => `${key.key_id} ${key.name} ${key.role} ${key.utility_id} ${key.facility_id}` : undefined} />`}</${LoadedOrRefused}>
    </${Panel}>
    <${MeterLogins} />
    ${asked?.kind === "new" && html`<${NewKey} close=${() => ask(null)} issued=${done} />`}
    ${asked?.key && html`<${Question} asked=${asked} close=${() => ask(null)} done=${done} />`}
    ${issued && html`<${Shown} issued=${issued} close=${() => setIssued(null)} />`}
  </div>`;
}
