// DR events: all of them, and one, with what an operator may do about it.
import { send } from "../api.js";
import { Countdown } from "../components/countdown.js";
import { ConfirmDialog } from "../components/dialog.js";
import { DREventTable } from "../components/dr_event_table.js";
import { NeedsNow } from "../components/needs.js";
import { Chip, Loaded, Panel } from "../components/parts.js";
import { toast } from "../components/toasts.js";
import { html, useMemo, useState } from "../dom.js";
import { between, howMany, kw } from "../format.js";
import { refetch, useList, useQuery } from "../query.js";
import { hrefTo } from "../router.js";
import { may, session } from "../session.js";
import { useStore } from "../store.js";
import { ApproveAll, Needs } from "./dr_event_needs.js";
import { DREventBody, RESTORING, useDREvent } from "./dr_event_parts.js";
import { later } from "./later.js";

const WhatIf = later(null, () => import("./settlement/what_if.js").then((file) => file.WhatIf));

export function DREventsView() {
  const query = useList("/api/dr-events?limit=500", { topics: ["dr-event", "dispatch"] });
  const signedIn = useStore(session);
  const portfolio = useQuery(signedIn.role === "utility" ? null : "/api/portfolio", { topics: ["dr-event", "dispatch"] });
  return html`<div class="page">
    <div class="page-head"><h1 tabindex="-1">DR events</h1>
      ${may("statements", signedIn) && html`<div class="actions"><a class="button" href=${hrefTo("programs")}>Statements</a></div>`}</div>
    <${NeedsNow} readiness=${portfolio.data?.readiness} />
    <${Panel} title="All" flush note=${howMany(query.data)}><${Loaded} query=${query} lines=8>${(rows) => html`<${DREventTable} rows=${rows} readiness=${portfolio.data?.readiness} filter />`}</${Loaded}></${Panel}>
  </div>`;
}

const CANCELLABLE = new Set(["accepted", "scheduled", "preparing", "active"]);

const OVER = new Set(["completed", "cancelled_while_active"]);

/** What a facility's row offers: `override` where its forecast keeps it back, `restored` while it is being restored. */
export function offeredOf(part) {
  if (part.status === "blocked") return "override";
  return RESTORING.has(part.status) ? "restored" : null;
}

const QUESTIONS = {
  cancel: (row) => ({
    title: `Cancel ${row.utility_event_id}?`,
    consequence: row.status === "active"
      ? "Every building is restored at once, and what was delivered until now is measured. The utility is told. This cannot be taken back."
      : "No building will be touched, prepared ones are released, and the utility is told. This cannot be taken back.",
    confirm: "Cancel the DR event",
    danger: true,
    path: "cancellation",
    done: `${row.utility_event_id} is being cancelled.`,
  }),
  override: (row, facility) => ({
    title: `Approve ${facility} in spite of its forecast?`,
    consequence: `Its forecast is degraded. With your approval it takes part in ${row.utility_event_id} as planned, and the audit trail says that you answer for it.`,
    confirm: "Approve it",
    path: "overrides",
    done: `${facility} is approved.`,
  }),
  restored: (row, facility) => ({
    title: `Is ${facility} restored by hand?`,
    consequence: `Say so only if somebody has set the building back: Gridproof sends it nothing more for this DR event, and it is then free for other DR events.`,
    confirm: "It is restored",
    path: "restored-by-hand",
    done: `${facility} counts as restored.`,
  }),
};

function Question({ row, asked, close }) {
  const { path, done, ...words } = QUESTIONS[asked.kind](row, asked.facility);
  const perform = (reason) =>
    send("POST", `/api/dr-events/${row.dr_event_id}/${path}`, { ...(asked.facility ? { facility_id: asked.facility } : {}), reason });
  const finished = () => {
    toast(done);
    refetch(`/api/dr-events/${row.dr_event_id}`);
  };
  return html`<${ConfirmDialog} ...${words} perform=${perform} close=${close} done=${finished} />`;
}

function Head({ row, operates, audits, ask }) {
  return html`<div class="page-head">
    <div>
      <p class="crumb"><a href=${hrefTo("dr-events")}>DR events</a> / ${row.utility_id}</p>
      <div class="row"><h1 tabindex="-1">${row.utility_event_id}</h1><${Chip} kind="dr-event" state=${row.status} /></div>
      <p class="lede">${between(row.starts_at, row.ends_at)}, ${kw(row.target_kw)} kW asked <${Countdown} row=${row} /></p>
    </div>
    <div class="actions">
      ${audits && html`<a class="button" href=${hrefTo("audit", row.dr_event_id)}>Audit</a>`}
      ${operates && CANCELLABLE.has(row.status) && html`<button class="button danger" type="button" onClick=${() => ask({ kind: "cancel" })}>Cancel…</button>`}
    </div>
  </div>`;
}

const WORDS = { override: "Approve…", restored: "Restored…" };

export function DREventView({ id, options }) {
  const signedIn = useStore(session);
  const query = useDREvent(id);
  const [asked, ask] = useState(null);
  const operates = may("operate", signedIn);
  const act = useMemo(() => operates && ((part) => {
    const kind = offeredOf(part);
    return kind && html`<button class="button small" type="button" aria-label=${`${WORDS[kind].replace("…", "")} ${part.facility_id}`}
      onClick=${() => ask({ kind, facility: part.facility_id })}>${WORDS[kind]}</button>`;
  }), [operates]);
  const needs = useMemo(() => operates && ((parts) => html`<${Needs} parts=${parts} approve=${(blocked) => ask(blocked.length === 1 ? { kind: "override", facility: blocked[0] } : { kind: "approve-all", blocked })} />`), [operates]);
  const close = () => ask(null);
  return html`<div class="page">
    ${query.data
      ? html`<${Head} row=${query.data} operates=${operates} audits=${may("audit", signedIn)} ask=${ask} />`
      : html`<div class="page-head"><h1 tabindex="-1">DR event</h1></div>`}
    <${DREventBody} id=${id} act=${act || null} needs=${needs || null} open=${options.get("facility") || null} />
    ${may("whatIf", signedIn) && OVER.has(query.data?.status) && html`<${WhatIf} key=${id} id=${id} facilities=${query.data.facility_ids} />`}
    ${asked && query.data && (asked.kind === "approve-all"
      ? html`<${ApproveAll} row=${query.data} blocked=${asked.blocked} close=${close} />`
      : html`<${Question} row=${query.data} asked=${asked} close=${close} />`)}
  </div>`;
}
