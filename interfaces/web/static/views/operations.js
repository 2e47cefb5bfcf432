// Operations: what waits, what is stopped, what is wrong, and what a person has to decide.
import { get } from "../api.js";
import { Empty, Figures, Loaded, Panel } from "../components/parts.js";
import { LoadedOrRefused, NotForRole } from "../components/refused.js";
import { html } from "../dom.js";
import { NONE, count, sentence, span } from "../format.js";
import { useLoaded, useQuery } from "../query.js";
import { noteServerTime } from "../server_clock.js";
import { may, session } from "../session.js";
import { looks } from "../states.js";
import { useStore } from "../store.js";
import { LedgerFacts, useLedger } from "./audit_proof.js";
import { Alerts } from "./operations_alerts.js";
import { DeadLetters } from "./operations_dead_letters.js";
import { Breakers, Dependencies, Projections, Queues, Workers, projectionLook } from "./operations_parts.js";

const ROLES = "operator or admin";
const EVERY = { topics: ["alert"], everyMs: 5_000 };

/** Not ready is an answer, too: 503 with the same document. */
const readiness = (signal) =>
  get("/ready", { signal }).catch((error) => {
    if (error.document?.dependencies) return error.document;
    throw error;
  });

/** The whole at once. */
async function operations(signal) {
  const found = await get("/api/operations", { signal });
  noteServerTime(found.at);
  return found;
}

const worst = (found) => ["bad", "warn", "busy"].map((tone) => found.find((look) => look.tone === tone)).find(Boolean);
/** Alerts as the worst of them: a warning is not a catastrophe. */
const alertsLook = (rows) => worst((rows || []).map((one) => looks("severity", one.severity)));

const toned = (number, tone) => (number > 0 ? { tone, shape: "triangle" } : { tone: "ok", shape: "check" });

function figuresOf({ projections, breakers, dead_letters: letters, ledger, open_alerts: alerts, queues }, dependencies, alertRows) {
  const down = (dependencies || []).filter((one) => !one.up);
  const sum = (items, value) => items?.reduce((total, one) => total + value(one), 0) ?? null;
  const open = alerts ? sum(Object.values(alerts), (number) => number) : null;
  const parked = sum(letters, (one) => one.open);
  const behind = projections && worst(projections.map(projectionLook));
  const figure = (label, value, hint, more) => ({ label, value: count(value), ...(value === null ? { hint: "not known now" } : { hint, ...more }) });
  return [
    figure("Alerts open", open, open ? Object.keys(alerts).map(sentence).slice(0, 3).join(", ") : "none", (open && alertsLook(alertRows)) || toned(open, "bad")),
    figure("Dead letters", parked, parked ? letters.filter((one) => one.open).map((one) => `${sentence(one.queue)} ${one.open}`).join(", ") : "none open", toned(parked, "bad")),
    figure("Largest lag", projections ? Math.max(0, ...projections.map((one) => one.lag)) : null, behind ? behind.words : "all up to date", behind || toned(0)),
    figure("BMS suspended", breakers?.length ?? null, breakers?.length ? "calls wait a minute at a time" : "none", toned(breakers?.length, "bad")),
    figure("Waiting in queues", sum(queues, (one) => one.waiting), "commands, callbacks, readings", {}),
    { label: "Ledger's age", value: ledger?.age_s === null || !ledger ? NONE : span(ledger.age_s), hint: ledger ? `${count(ledger.unsealed)} not sealed yet` : "not known now", ...(ledger?.mismatches ? { tone: "bad", shape: "cross" } : {}) },
    figure("Dependencies up", dependencies ? dependencies.length - down.length : null, down.length ? down.map((one) => one.name).join(", ") + " down" : "all of them", { tone: down.some((one) => one.needed) ? "bad" : down.length ? "warn" : "ok", shape: down.length ? "triangle" : "check" }),
  ];
}

/** A part of the whole; null where it could not be asked, with the reason. */
function Part({ query, name, title, className, children }) {
  return html`<${Panel} title=${title} flush className=${className}>
    <${LoadedOrRefused} query=${query} what=${title.toLowerCase()} roles=${ROLES}>${(found) =>
      found[name] ? children(found[name]) : html`<${Empty} title="Not known now">${found.unknown?.[name] || "The server gave no reason."}</${Empty}>`}</${LoadedOrRefused}>
  </${Panel}>`;
}

export function OperationsView() {
  const signedIn = useStore(session);
  const operates = may("operations", signedIn);
  const query = useLoaded(operates ? "/api/operations" : null, operations, EVERY);
  const alerts = useQuery(may("alerts", signedIn) ? "/api/alerts?limit=500" : null, EVERY);
  const ready = useLoaded("/ready", readiness, { everyMs: 15_000 });
  const ledger = useLedger(may("ledger", signedIn));
  const head = html`<div class="page-head"><div><h1 tabindex="-1">Operations</h1><p class="lede">What waits, what is stopped, and what a person has to decide.</p></div></div>`;
  if (!operates || (query.data === undefined && query.problem?.status === 403)) {
    return html`<div class="page">${head}<${Panel} title="Operations at a glance"><${NotForRole} what="operations" roles=${ROLES} /></${Panel}></div>`;
  }
  const part = (name, title, className, show) => html`<${Part} query=${query} name=${name} title=${title} className=${className}>${(rows) => html`<${show} rows=${rows} />`}</${Part}>`;
  return html`<div class="page">${head}
    ${query.data ? html`<${Figures} label="Operations now" items=${figuresOf(query.data, ready.data?.dependencies, alerts.data?.items)} />` : html`<${Loaded} query=${query} height="6rem">${() => null}</${Loaded}>`}
    <div class="grid">
      <${Panel} title="Alerts" flush note=${alerts.data?.items.length ? `${count(alerts.data.items.length)} open` : ""} id="alerts" className="wall-6">
        <${LoadedOrRefused} query=${alerts} what="alerts" roles="dashboard, operator or admin">${({ items }) => html`<${Alerts} rows=${items} />`}</${LoadedOrRefused}>
      </${Panel}>
      <${DeadLetters} />
      ${part("projections", "Read models", "span-8", Projections)}
      <${Panel} title="Dependencies" className="span-4" note=${ready.data ? sentence(ready.data.status).toLowerCase() : ""}>
        <${Loaded} query=${ready}>${({ dependencies }) => html`<${Dependencies} rows=${dependencies} />`}</${Loaded}>
      </${Panel}>
      ${part("queues", "Queues", "span-6", Queues)}
      ${part("breakers", "Suspended BMS", "span-6", Breakers)}
      <${Panel} title="Ledger" className="span-6">
        <${LoadedOrRefused} query=${ledger} what="the ledger" roles="auditor, operator or admin">${(found) => html`<${LedgerFacts} ledger=${found} />`}</${LoadedOrRefused}>
      </${Panel}>
      ${part("workers", "Workers", "span-6", Workers)}
    </div>
  </div>`;
}
