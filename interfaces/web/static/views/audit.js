// Audit: the whole story of a DR event, at any moment of it, and the proof that it stands as it was sealed.
import { Chip, Empty, Loaded, Panel } from "../components/parts.js";
import { LoadedOrRefused, NotForRole } from "../components/refused.js";
import { Table } from "../components/table.js";
import { html, useEffect, useMemo, useRef, useState } from "../dom.js";
import { between, count, kw, momentSeconds, zoneName } from "../format.js";
import { useList, useQuery } from "../query.js";
import { hrefTo, read, setOption } from "../router.js";
import { serverNow } from "../server_clock.js";
import { may, session } from "../session.js";
import { useStore } from "../store.js";
import { PastState, told, usePast } from "./audit_past.js";
import { LedgerFacts, Proof, useLedger } from "./audit_proof.js";
import { Slider, placeOf, wrongMoment } from "./audit_slider.js";
import { Timeline } from "./audit_timeline.js";

const ROLES = "auditor or admin";
const UNDER_WAY_MS = 5_000;
const OVER_MS = 30_000;
const WRITTEN_MS = 250;
const OVER = new Set(["rejected", "completed", "cancelled", "cancelled_while_active"]);

const COLUMNS = [
  { id: "name", label: "DR event", header: true, sort: (row) => row.utility_event_id, cell: (row) => html`<a href=${hrefTo("audit", row.dr_event_id)}>${row.utility_event_id}</a>` },
  { id: "status", label: "Status", sort: (row) => row.status, cell: (row) => html`<${Chip} kind="dr-event" state=${row.status} />` },
  { id: "utility", label: "Utility", sort: (row) => row.utility_id, cell: (row) => row.utility_id },
  { id: "window", label: "Window", sort: (row) => row.starts_at, cell: (row) => html`<span class="nowrap">${between(row.starts_at, row.ends_at)}</span>` },
  { id: "target", label: "Target, kW", number: true, sort: (row) => row.target_kw, cell: (row) => kw(row.target_kw) },
  { id: "opened", label: "Notified", sort: (row) => row.opened_at, cell: (row) => html`<span class="nowrap">${momentSeconds(row.opened_at)}</span>` },
  { id: "changed", label: "Last step", sort: (row) => row.changed_at, cell: (row) => html`<span class="nowrap">${momentSeconds(row.changed_at)}</span>` },
];
const textOf = (row) => `${row.utility_event_id} ${row.utility_id} ${row.status} ${row.program_id} ${row.dr_event_id}`;

/** Without a DR event: which one? And how far the ledger is sealed. */
function Choosing({ audits, ledger }) {
  const query = useList("/api/dr-events?limit=500", { topics: ["dr-event"] });
  return html`<div class="page">
    <div class="page-head"><div><h1 tabindex="-1">Audit</h1><p class="lede">Every step of a DR event with its cause, at any moment of it, and the proof to take away.</p></div></div>
    <div class="grid">
      <${Panel} title="DR events" flush className="span-8">
        ${audits
          ? html`<${Loaded} query=${query} lines=8>${(rows) => html`<${Table} caption="DR events to audit" columns=${COLUMNS} rows=${rows} rowKey=${(row) => row.dr_event_id}
              first="-opened" text=${textOf} tall empty="No DR event yet. A utility posts one to /webhooks/utility/dr-notification." />`}</${Loaded}>`
          : html`<${NotForRole} what="the audit trail" roles=${ROLES} />`}
      </${Panel}>
      <${Panel} title="Ledger" className="span-4">
        <${LoadedOrRefused} query=${ledger} what="the ledger" roles="auditor, operator or admin">${(found) => html`<${LedgerFacts} ledger=${found} />`}</${LoadedOrRefused}>
      </${Panel}>
    </div>
  </div>`;
}

/** The slider's place, and the address that says it: read at first and when it changes from outside, written at rest. */
function usePlace(steps, options) {
  const asked = options.get("as_of");
  const written = useRef(asked);
  const [place, setPlace] = useState(() => placeOf(steps, asked));
  const [followed, setFollowed] = useState(place >= steps.length);
  const move = (next) => {
    setPlace(next);
    setFollowed(next >= steps.length);
  };
  useEffect(() => {
    if (asked === written.current) return;
    written.current = asked;
    move(placeOf(steps, asked));
  }, [asked]);
  const shown = followed ? steps.length : Math.min(place, steps.length - 1);
  const asOf = followed ? null : String(steps[shown].position);
  useEffect(() => {
    if (asOf === written.current) return undefined;
    const timer = setTimeout(() => {
      // The address may have been changed from outside just now: that goes before what the slider was about to write.
      if (read().options.get("as_of") !== written.current) return;
      written.current = asOf;
      setOption("as_of", asOf);
    }, WRITTEN_MS);
    return () => clearTimeout(timer);
  }, [asOf]);
  return [shown, move, asOf];
}

function Story({ trail, options, ledger }) {
  const { dr_event_id: id, steps, dr_event: state } = trail;
  const [place, move, asOf] = usePlace(steps, options);
  const [playing, setPlaying] = useState(false);
  const [wrong] = useState(() => wrongMoment(steps, options.get("as_of"))); // of the address that was opened
  const position = asOf === null ? null : Number(asOf);
  const past = usePast(id, position, steps.at(-1).position);
  const shown = useMemo(() => steps.slice(0, place + 1), [steps, place]);
  const stoodAt = past.of === null ? null : steps.find((step) => step.position === past.of);
  // Of what is shown, also while the slider moves or where its moment cannot be read.
  const when = stoodAt ? `as of ${momentSeconds(stoodAt.recorded_at)}` : past.of === null ? "now" : "";
  const row = past.state?.row;
  const event = options.get("event"); // by its id, where the position is not known
  const selected = Number(options.get("step")) || steps.find((step) => step.domain_event_id === event)?.position || null;
  const body = useMemo(() => html`<${PastState} past=${past} when=${when} />`, [past.state, past.problem, past.busy, when, zoneName()]);
  return html`<div class="page">
    <div class="page-head">
      <div>
        <p class="crumb"><a href=${hrefTo("audit")}>Audit</a> / ${trail.utility_id}</p>
        <div class="row"><h1 tabindex="-1">${trail.utility_event_id}</h1>${row && html`<span id="state-then"><${Chip} kind="dr-event" state=${row.status} /></span>`}
          ${stoodAt && html`<span class="soft">${when}</span>`}</div>
        <p class="printed">Gridproof audit trail${when && ` ${when}`}, printed ${momentSeconds(new Date(serverNow()).toISOString())} ${zoneName()}. DR event ${id}</p>
        <p class="lede">${state.notice ? `${between(state.notice.starts_at, state.notice.ends_at)}, ${kw(state.notice.target_kw)} kW asked` : `${count(steps.length)} steps`}</p>
      </div>
      <div class="actions"><a class="button" href=${hrefTo("dr-events", id)}>DR event</a></div>
    </div>
    <div class="panel slider-panel"><${Slider} steps=${steps} place=${place} move=${move} past=${past} playing=${playing} setPlaying=${setPlaying} startsAt=${state.notice?.starts_at} /></div>
    ${wrong && html`<p class="wrong" role="status">${wrong}</p>`}
    <p class="visually-hidden" role="status" aria-live="polite">${!playing && !past.busy && past.state ? `${when}: ${told(past.state)}` : ""}</p>
    ${body}
    <div class="grid">
      <div class="span-8"><${Timeline} id=${id} steps=${steps} place=${place} selected=${selected} goTo=${(next) => {
        setPlaying(false);
        move(next);
        document.getElementById("slider").focus();
      }} /></div>
      <${Proof} id=${id} name=${trail.utility_event_id} shown=${shown} position=${position} ledger=${ledger} />
    </div>
  </div>`;
}

function One({ id, options, ledger }) {
  const [over, setOver] = useState(false);
  const query = useQuery(`/api/audit/dr-events/${encodeURIComponent(id)}`, { everyMs: over ? OVER_MS : UNDER_WAY_MS });
  const status = query.data?.dr_event.status;
  useEffect(() => setOver(OVER.has(status)), [status]);
  if (query.data) return html`<${Story} trail=${query.data} options=${options} ledger=${ledger} />`;
  return html`<div class="page"><div class="page-head"><div><p class="crumb"><a href=${hrefTo("audit")}>Audit</a></p><h1 tabindex="-1">DR event</h1></div></div>
    ${query.problem?.status === 404 || query.problem?.status === 400
      ? html`<${Empty} title="The log knows no such DR event"><a href=${hrefTo("audit")}>Choose one of those that it knows</a></${Empty}>`
      : html`<${LoadedOrRefused} query=${query} what="the audit trail" roles=${ROLES} height="30rem">${() => null}</${LoadedOrRefused}>`}
  </div>`;
}

export function AuditView({ id, options }) {
  const signedIn = useStore(session);
  const audits = may("audit", signedIn);
  const ledger = useLedger(may("ledger", signedIn));
  if (id && audits) return html`<${One} id=${id} options=${options} ledger=${ledger} />`;
  return html`<${Choosing} audits=${audits} ledger=${ledger} />`;
}
