// Changes: what people changed beside DR events, who did, when and why; the newest first.
import { get, getAll, saved } from "../api.js";
import { Icon } from "../components/glyph.js";
import { Chip, Empty, Panel } from "../components/parts.js";
import { LoadedOrRefused } from "../components/refused.js";
import { toast } from "../components/toasts.js";
import { html, useRef, useState } from "../dom.js";
import { count, momentSeconds, readable, short, zoneName } from "../format.js";
import { useQuery } from "../query.js";
import { hrefTo, setOption } from "../router.js";
import { session } from "../session.js";
import { useStore } from "../store.js";
import { csvText } from "./audit_proof.js";

const PATH = "/api/audit/administration";
const PAGE = 50;
const MOST_SAVED = 10_000;
const MOST_LINKS = 3;
const KINDS = {
  facility: "facility", maintenance: "maintenance", opt_out: "opt-out and opt-in", program: "program", access: "key or login", import: "import",
  alert: "alert or dead letter", override: "override", system: "system",
};
const COLUMNS = ["position", "recorded_at", "kind", "who", "what", "why", "facility_ids", "program_id", "dr_event_id", "topic", "correlation_id", "trace_id"];

const pathOf = (wanted, limit) => `${PATH}?${new URLSearchParams([...Object.entries(wanted).filter(([, value]) => value), ["limit", limit]])}`;
const utcDay = (at) => at.slice(0, 10);
const utcClock = (at) => at.slice(11, 19);

function Links({ change }) {
  const { facility_ids: facilities, program_id: program, dr_event_id: drEvent } = change;
  const more = facilities.length - MOST_LINKS;
  return html`${facilities.slice(0, MOST_LINKS).map((id) => html`<a key=${id} href=${hrefTo("facilities", id)}>${id}</a> `)}
    ${more > 0 && html`<span>and ${count(more)} more </span>`}
    ${program && html`<a href=${hrefTo("changes", null, { program })}>${program}</a> `}
    ${drEvent && html`<a href=${hrefTo("dr-events", drEvent)}>DR event ${short(drEvent)}</a> `}`;
}

function Change({ change }) {
  const { recorded_at: at, kind, what, why, who, position, topic, trace_id: trace } = change;
  const zone = zoneName();
  return html`<li class="audit-step">
    <time class="when" datetime=${at} title=${at}>${utcClock(at)}</time>
    <div>
      <div class="row"><${Chip} look=${{ words: KINDS[kind] || kind, tone: "idle", shape: "dot" }} /><strong title=${topic}>${readable(what)}</strong></div>
      ${why && html`<p class="soft">Because: ${readable(why)}</p>`}
      <p class="small faint">by <span class="soft">${who}</span>${zone !== "UTC" && html`, ${momentSeconds(at)} ${zone}`}</p>
      <p class="small faint"><${Links} change=${change} /><span title="Trace">trace <code>${trace}</code></span></p>
    </div>
    <span class="small faint position" title=${topic}>#${position}</span>
  </li>`;
}

/** Pages that were fetched so far. A newer first page is put before them; one that does not reach them replaces them. */
function merged(pages, first) {
  const positions = new Set(pages.items.map((one) => one.position));
  const added = first.items.filter((one) => !positions.has(one.position));
  if (pages.items.length && added.length < first.items.length) return { ...pages, items: [...added, ...pages.items] };
  return { items: first.items, cursor: first.next_cursor };
}

/** Of one filter: it is made anew for another one. */
function Listed({ wanted }) {
  const query = useQuery(pathOf(wanted, PAGE), { topics: ["facility", "program"], everyMs: 30_000 });
  const pages = useRef({ items: [], cursor: null, first: null });
  const [busy, setBusy] = useState(false);
  if (query.data && pages.current.first !== query.data) pages.current = { ...merged(pages.current, query.data), first: query.data };
  const { items, cursor } = pages.current;
  const older = async () => {
    setBusy(true);
    try {
      const page = await get(`${pathOf(wanted, PAGE)}&cursor=${encodeURIComponent(cursor)}`);
      pages.current = { ...pages.current, items: [...pages.current.items, ...page.items], cursor: page.next_cursor };
    } catch (error) {
      toast(`Not fetched: ${error.message}`);
    }
    setBusy(false);
  };
  return html`<${LoadedOrRefused} query=${query} what="these changes" roles="operator, auditor, admin or owner" lines=8>${() => html`
    ${items.length
      ? html`<ol class="audit-steps" tabindex="0" aria-label="Changes, the newest first">${items.map((change, n) => {
          const day = utcDay(change.recorded_at);
          return html`${(n === 0 || day !== utcDay(items[n - 1].recorded_at)) && html`<li class="day" key=${day}>${day} UTC</li>`}<${Change} key=${change.position} change=${change} />`;
        })}</ol>`
      : html`<${Empty} title="No change matches.">Clear the filters.</${Empty}>`}
    ${cursor && html`<p class="more"><button class="button small" type="button" disabled=${busy} onClick=${older}>Show older changes</button></p>`}`}</${LoadedOrRefused}>`;
}

/** Everything that the filter lets through, not only what is drawn. */
function Save({ wanted }) {
  const [busy, setBusy] = useState(false);
  const save = (kind, textOf) => async () => {
    setBusy(true);
    try {
      const items = await getAll(pathOf(wanted, 1000), { most: MOST_SAVED });
      saved(new Blob([textOf(items)], { type: kind === "CSV" ? "text/csv;charset=utf-8" : "application/json" }), `gridproof-changes.${kind.toLowerCase()}`);
      toast(items.cut ? `The newest ${count(items.length)} are saved.` : `${count(items.length)} changes saved.`);
    } catch (error) {
      toast(`Not saved: ${error.message}`);
    }
    setBusy(false);
  };
  const kinds = {
    CSV: (items) => csvText(COLUMNS, items.map((one) => ({ ...one, facility_ids: one.facility_ids.join(" ") }))),
    JSON: (items) => JSON.stringify(items, null, 1),
  };
  return Object.entries(kinds).map(([kind, textOf]) => html`<button key=${kind} class="button small" type="button" disabled=${busy} onClick=${save(kind, textOf)}
    aria-label=${`Save the changes as ${kind}`}><${Icon} name="download" />${kind}</button>`);
}

function Named({ name, label, value }) {
  return html`<input class="input inline" type="search" placeholder=${label} aria-label=${label} value=${value} onChange=${(typed) => setOption(name, typed.target.value.trim() || null)} />`;
}

export function ChangesView({ options }) {
  const { facilityId } = useStore(session);
  const wanted = Object.fromEntries(["kind", "facility", "program"].map((name) => [name, options.get(name) || ""]));
  return html`<div class="page">
    <div class="page-head"><div><h1 tabindex="-1">Changes</h1>
      <p class="lede">Who changed what beside DR events, when and why: facilities, programs, maintenance, keys, imports.</p></div></div>
    <${Panel} title="Every change" flush note="the newest first, in UTC" end=${html`<${Save} wanted=${wanted} />`}>
      <div class="tools">
        <select class="select inline" aria-label="Kind" value=${wanted.kind} onChange=${(chosen) => setOption("kind", chosen.target.value || null)}>
          <option value="">Kind: all</option>${Object.entries(KINDS).map(([kind, words]) => html`<option key=${kind} value=${kind}>${words}</option>`)}
        </select>
        ${!facilityId && html`<${Named} name="facility" label="Facility" value=${wanted.facility} /><${Named} name="program" label="Program" value=${wanted.program} />`}
      </div>
      <${Listed} key=${JSON.stringify(wanted)} wanted=${wanted} />
    </${Panel}>
  </div>`;
}
