// What a DR event is worth: its settlement in money, every revision of it, and settling it now.
import { send } from "../../api.js";
import { ConfirmDialog } from "../../components/dialog.js";
import { Chip, Empty, Facts, Loaded, Panel } from "../../components/parts.js";
import { LoadedOrRefused } from "../../components/refused.js";
import { Table } from "../../components/table.js";
import { toast } from "../../components/toasts.js";
import { html, useEffect, useMemo, useRef, useState } from "../../dom.js";
import { between, moment, momentSeconds, readable, words } from "../../format.js";
import { refetch, useQuery } from "../../query.js";
import { hrefTo, route, setOption } from "../../router.js";
import { may, session } from "../../session.js";
import { useStore } from "../../store.js";
import { Changes, Reasons } from "./changes.js";
import { Facilities, Flags, Intervals, Lines, Rule } from "./figures.js";
import { Downloads, amount, money, reasonsOf, signed } from "./money.js";

const SETTLED = { tone: "ok", shape: "check", words: "settled" };
const NOT_SETTLED = { tone: "warn", shape: "triangle", words: "not settled" };
const ENDED = new Set(["completed", "cancelled", "cancelled_while_active"]);
const BECAUSE = { rule: "the rule", event: "the DR event", baseline: "the baseline", meter: "readings", portfolio: "others of the portfolio" };

const MANY = 1_000;

const begun = (text) => text && text[0].toUpperCase() + text.slice(1);
const whyOf = (one) => one.why || one.because.map((why) => BECAUSE[why] || words(why)).join(", ") || (one.revision ? null : "first settlement");

/** The month on which it began, where its facilities are. */
function monthOf(document) {
  const timeZone = document.inputs.event.facilities[0]?.tz || "UTC";
  return new Intl.DateTimeFormat("en-CA", { year: "numeric", month: "2-digit", timeZone }).format(new Date(document.starts_at));
}

function Revisions({ revisions, shown }) {
  const columns = useMemo(() => [
    {
      id: "revision", label: "Revision", header: true,
      cell: (one) => html`<button class="linklike" type="button" aria-pressed=${String(one.revision === shown)}
        onClick=${() => setOption("revision", one === revisions.at(-1) ? null : one.revision)}>Revision ${one.revision}</button>`,
    },
    { id: "total", label: "Total", number: true, cell: (one) => money(one.total, one.currency) },
    { id: "difference", label: "Difference", number: true, cell: (one) => signed(one.difference) },
    { id: "why", label: "Why", cell: whyOf },
    { id: "at", label: "Settled", fit: true, cell: (one) => moment(one.settled_at) },
  ], [revisions, shown]);
  return html`<h3>Revisions <span class="note">the last one is in force</span></h3>
    <${Table} caption="Revisions of the settlement" columns=${columns} rows=${revisions} rowKey=${(one) => one.revision} selected=${(one) => one.revision === shown} />`;
}

function Particulars({ row, document }) {
  const statements = may("statements", useStore(session));
  const program = `${document.program_id}, version ${document.program_version}`;
  const isSettled = document.status === "settled";
  return html`<${Facts} items=${[
    ["Total", html`<strong class="total">${isSettled ? money(document.total, document.currency) : "nothing"}</strong>
      <div class="soft small">${isSettled ? `owed ${document.total.startsWith("-") ? "to" : "by"} the utility` : reasonsOf(document.reasons)}</div>`],
    ["To the facility", row.net ? money(row.net, row.currency) : null],
    ["Program", statements ? html`<a href=${hrefTo("programs", document.program_id, { period: monthOf(document) })}>${program}</a>` : program],
    ["Settled", document.level === "portfolio" ? "all facilities as one portfolio" : "each facility by itself"],
    ["Window", between(document.window_starts_at, document.window_ends_at)],
    ["Performance", document.performance],
    ["Why", whyOf(row)],
    ["Recorded", momentSeconds(row.settled_at)],
    ["Final", row.final_at ? `from ${momentSeconds(row.final_at)}; until then what changes is settled again` : null],
    ["Document digest", html`<code class="digest">${row.digest}</code>`],
  ]} />`;
}

/** One revision: `row` of the list, and its document. */
function Revision({ id, row, revisions, document }) {
  return html`<div class="measured">
    <section><${Particulars} row=${row} document=${document} /></section>
    ${revisions.length > 1 && html`<section><${Revisions} revisions=${revisions} shown=${row.revision} />
      ${document.resettlement && html`<${Reasons} document=${document} because=${row.because} />`}</section>`}
    <${Lines} id=${id} document=${document} />
    ${document.resettlement && html`<${Changes} id=${id} document=${document} />`}
    <${Facilities} id=${id} document=${document} />
    <${Flags} flags=${document.flags} />
    <${Intervals} document=${document} />
    <${Rule} document=${document} />
  </div>`;
}

/** The document of a revision. One over many facilities has megabytes: it is read when it is asked for. */
function Shown({ id, row, revisions, isLarge }) {
  const [wanted, want] = useState(!isLarge);
  const query = useQuery(wanted ? `/api/dr-events/${id}/settlement?revision=${row.revision}` : null);
  const listed = revisions.length > 1 && html`<div class="measured"><section class="whole"><${Revisions} revisions=${revisions} shown=${row.revision} /></section></div>`;
  if (query.data === undefined && query.problem?.name === "not-settled-yet") {
    return html`<${Empty} title="Not settled">${begun(reasonsOf(row.reasons))}. ${readable(query.problem.message)}</${Empty}>${listed}`;
  }
  if (!wanted) {
    return html`<${Empty} title=${money(row.total, row.currency)}>Over many facilities, lines and intervals take a while to read.
      <button class="button small" type="button" onClick=${() => want(true)}>Read all of it</button></${Empty}>${listed}`;
  }
  return html`<${Loaded} query=${query} lines=8>${(document) => html`<${Revision} id=${id} row=${row} revisions=${revisions} document=${document} />`}</${Loaded}>`;
}

function Question({ id, close }) {
  const path = `/api/dr-events/${id}/settlement`;
  const finished = ({ recorded, revision, status, total, currency, reasons }) => {
    const outcome = status === "settled" ? `settled at ${money(total, currency)}` : `not settled: ${reasonsOf(reasons)}`;
    toast(recorded ? `Revision ${revision}: ${outcome}.` : `Nothing changed: revision ${revision} stays in force.`);
    setOption("revision", null);
    refetch(path);
  };
  return html`<${ConfirmDialog} title="Settle this DR event now?" confirm="Settle it" perform=${(reason) => send("POST", path, { reason })} close=${close} done=${finished}
    consequence="It is settled by the newest version of the program's rule, from what is measured now. Where an amount changes there is a new revision, and the utility is told; otherwise nothing is recorded."
    hint="Recorded with the revision, and shown to the utility." />`;
}

/** `status`: of the DR event, null to offer nothing; `facilities`: how many it has; `asOf`: a moment, or null for now. */
export function Settlement({ id, status = null, facilities = 0, asOf = null }) {
  const at = `/api/dr-events/${id}/settlement/revisions`;
  const query = useQuery(asOf ? `${at}?as_of=${encodeURIComponent(asOf)}` : at, asOf ? {} : { topics: [`dr-event:${id}`] });
  const chosen = useStore(route).options.get("revision");
  const signedIn = useStore(session);
  const [asked, ask] = useState(false);
  const revisions = query.data?.revisions || [];
  const last = revisions.at(-1);
  const offers = !asOf && ENDED.has(status) && may("operate", signedIn) && !signedIn.facilityId;
  const shown = revisions.find((one) => String(one.revision) === chosen) || last;
  const end = html`${last && html`<${Chip} look=${last.status === "settled" ? SETTLED : NOT_SETTLED} />`}
    ${shown?.digest && html`<${Downloads} path=${`/api/dr-events/${id}/settlement?revision=${shown.revision}`} of=${`of revision ${shown.revision}`} />`}
    ${offers && html`<button class="button small" type="button" onClick=${() => ask(true)}>${last ? "Settle again…" : "Settle now…"}</button>`}`;
  const place = useRef(null);
  useEffect(() => chosen !== null && place.current?.scrollIntoView({ block: "start" }), [Boolean(query.data)]);
  return html`<div class="below-bar" ref=${place}><${Panel} title="Settlement" note=${shown && `revision ${shown.revision}${shown === last ? ", in force" : ` of ${last.revision}`}`} end=${end}>
    <${LoadedOrRefused} query=${query} what="settlements" roles="dashboard, operator or auditor" lines=6>${(found) =>
      last
        ? html`<${Shown} id=${id} row=${shown} revisions=${found.revisions} isLarge=${facilities > MANY} />`
        : html`<${Empty} title="Not settled yet">${begun(readable(found.waits_for || ""))}.</${Empty}>`}</${LoadedOrRefused}>
    ${asked && html`<${Question} id=${id} close=${() => ask(false)} />`}
  </${Panel}></div>`;
}
