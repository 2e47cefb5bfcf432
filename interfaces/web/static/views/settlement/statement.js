// A month or season in money: of a program, and of one facility.
import { Chip, Empty, Figures, Loaded, Panel } from "../../components/parts.js";
import { LoadedOrRefused, NotForRole } from "../../components/refused.js";
import { Table } from "../../components/table.js";
import { html, useEffect, useMemo, useRef } from "../../dom.js";
import { NONE, between, count, moment } from "../../format.js";
import { useList, useQuery } from "../../query.js";
import { hrefTo, route, setOption } from "../../router.js";
import { serverNow } from "../../server_clock.js";
import { may, session } from "../../session.js";
import { useStore } from "../../store.js";
import { Downloads, amount, readableFormula, reasonsOf } from "./money.js";
import { Settlement } from "./settlement.js";

const FILTERED = 12;
const EVERY_MS = 60_000;
const MONTH = /^\d{4}-(0[1-9]|1[0-2])$/;
const PROVISIONAL = {
  period_not_over: "the period is not over",
  not_settled_yet: "a DR event is not settled yet",
  not_final: "a settlement may still change",
};

const monthNow = () => new Date(serverNow()).toISOString().slice(0, 7);

function shifted(month, by) {
  if (!MONTH.test(month)) return monthNow(); // as somebody typed it into the address
  const [year, number] = month.split("-").map(Number);
  return new Date(Date.UTC(year, number - 1 + by, 1)).toISOString().slice(0, 7);
}

/** A month, `2026-07`, or a season by its first and last month, `2026-06_2026-09`. */
function Period({ period }) {
  const [first, last = first] = period.split("_");
  const choose = (one, other) => MONTH.test(one) && MONTH.test(other) && setOption("period", one < other ? `${one}_${other}` : one);
  return html`<div class="row">
    <span class="row nowrap"><button class="button small" type="button" aria-label="The month before" onClick=${() => choose(shifted(first, -1), shifted(first, -1))}>‹</button>
    <input class="input inline" type="month" aria-label="First month" value=${first} onChange=${(chosen) => choose(chosen.target.value, last < chosen.target.value || last === first ? chosen.target.value : last)} /></span>
    <span class="row nowrap"><span class="faint">to</span>
    <input class="input inline" type="month" aria-label="Last month" value=${last} onChange=${(chosen) => choose(first, chosen.target.value)} />
    <button class="button small" type="button" aria-label="The month after" onClick=${() => choose(shifted(last, 1), shifted(last, 1))}>›</button></span>
  </div>`;
}

function statusOf(row) {
  if (row.status === "settled") return html`<${Chip} look=${{ tone: "ok", shape: "check", words: "settled" }} /> <span class="soft">revision ${row.revision}</span>`;
  const [words, why] = row.status === "not_settled" ? ["not settled", reasonsOf(row.reasons)] : ["not settled yet", row.waits_for];
  return html`<${Chip} look=${{ tone: "warn", shape: "triangle", words }} /><div class="soft small">${why}</div>`;
}

/** A key of one facility has no view of a DR event: its part is shown below. */
function DREventLink({ row, own }) {
  const isOpen = useStore(route).options.get("settlement") === row.dr_event_id;
  const toggle = () => {
    setOption("revision", null);
    setOption("settlement", isOpen ? null : row.dr_event_id);
  };
  return own
    ? html`<button class="linklike" type="button" aria-expanded=${String(isOpen)} onClick=${toggle}>${row.utility_event_id}</button>`
    : html`<a href=${hrefTo("dr-events", row.dr_event_id, { revision: row.revision })}>${row.utility_event_id}</a>`;
}

function rowColumns(found, own) {
  const { currency } = found;
  return [
    { id: "name", label: "DR event", header: true, sort: (row) => row.utility_event_id, cell: (row) => html`<${DREventLink} row=${row} own=${own} />` },
    { id: "window", label: "Window", sort: (row) => row.starts_at, cell: (row) => html`<span class="nowrap">${between(row.starts_at, row.ends_at)}</span>` },
    { id: "amount", label: `${found.facility_id ? "Gross" : "Amount"}, ${currency}`, number: true, sort: (row) => row.total && Number(row.total), cell: (row) => html`<strong>${amount(row.total)}</strong>` },
    ...(found.facility_id ? [{ id: "net", label: `Net, ${currency}`, number: true, sort: (row) => row.net && Number(row.net), cell: (row) => amount(row.net) }] : []),
    { id: "performance", label: "Performance", number: true, cell: (row) => row.performance ?? NONE },
    { id: "status", label: "Status", wrap: true, sort: (row) => row.status, cell: statusOf },
    { id: "kind", label: "Kind", sort: (row) => row.kind, cell: (row) => row.kind },
    { id: "final", label: "Final from", sort: (row) => row.final_at, cell: (row) => html`<span class="nowrap">${moment(row.final_at)}</span>` },
  ];
}

const capacityColumns = (currency) => [
  { id: "unit", label: "Unit", header: true, cell: (one) => one.unit },
  { id: "formula", label: "Formula in numbers", wrap: true, cell: (one) => readableFormula(one.formula) },
  { id: "performance", label: "Performance", number: true, cell: (one) => one.performance ?? NONE },
  { id: "events", label: "DR events", number: true, cell: (one) => count(one.events) },
  { id: "amount", label: `Amount, ${currency}`, number: true, cell: (one) => html`<strong>${amount(one.amount)}</strong>` },
];

const facilityColumns = (currency, period) => [
  { id: "facility", label: "Facility", header: true, sort: (one) => one.facility_id, cell: (one) => html`<a href=${hrefTo("statements", one.facility_id, { period })}>${one.facility_id}</a>` },
  { id: "gross", label: `Gross, ${currency}`, number: true, sort: (one) => Number(one.gross), cell: (one) => html`<strong>${amount(one.gross)}</strong>` },
  { id: "net", label: `Net, ${currency}`, number: true, sort: (one) => Number(one.net), cell: (one) => amount(one.net) },
];

/** `found`: a `period-statement/1`; `own`: for a key of one facility. */
function Statement({ found, period, own }) {
  const { currency, capacity, facilities, facility_id: facility } = found;
  const columns = useMemo(() => rowColumns(found, own), [found, own]);
  const paid = useMemo(() => capacityColumns(currency), [currency]);
  const each = useMemo(() => facilityColumns(currency, period), [currency, period]);
  if (!currency) return html`<${Empty} title=${`${found.program_id} has no settlement rule`}>An operator agrees one with a currency; until then nothing is settled.</${Empty}>`;
  const of = facility ? ` of ${found.program_id}` : "";
  const state = found.provisional ? { tone: "warn", shape: "half", words: "provisional" } : { tone: "ok", shape: "check", words: "final" };
  return html`
    <${Figures} label=${`Amounts${of}`} items=${[
      { label: `Total${of}, ${currency}`, value: amount(found.total), hint: found.total.startsWith("-") ? "owed to the utility" : "owed by the utility" },
      ...(facility ? [{ label: `To the facility, ${currency}`, value: amount(found.net) }] : []),
      { label: `DR events, ${currency}`, value: amount(found.dr_events_total), hint: `${count(found.dr_events.length)} in this period` },
      { label: `Capacity, ${currency}`, value: amount(found.capacity_total), hint: capacity ? "paid with the period" : "none is paid with the period" },
    ]} />
    <${Panel} title=${`DR events${of}`} flush end=${html`<span class="soft small">${found.provisional_because.map((why) => PROVISIONAL[why] || why).join("; ")}</span><${Chip} look=${state} />`}>
      <${Table} caption=${`DR events of the period${of}`} columns=${columns} rows=${found.dr_events} rowKey=${(row) => row.dr_event_id} first="window"
        text=${found.dr_events.length > FILTERED ? (row) => `${row.utility_event_id} ${row.kind} ${row.status}` : undefined} empty="No DR event began in this period." />
    </${Panel}>
    ${capacity && html`<${Panel} title=${`Capacity${of}`} flush note=${`rule of version ${capacity.program_version}`}>
      <${Table} caption=${`Capacity of the period${of}`} columns=${paid} rows=${capacity.lines} rowKey=${(one) => one.unit} /></${Panel}>`}
    ${!facility && facilities.length > 0 && html`<${Panel} title="By facility" flush note="DR events and capacity together">
      <${Table} caption="The period by facility" columns=${each} rows=${facilities} rowKey=${(one) => one.facility_id} first="facility" tall
        text=${facilities.length > FILTERED ? (one) => one.facility_id : undefined} /></${Panel}>`}`;
}

function Head({ crumb, title, period, path, edit }) {
  return html`<div class="page-head">
    <div><p class="crumb">${crumb}</p><h1 tabindex="-1">${title}</h1></div>
    <div class="actions">${edit && may("operate") && html`<a class="button" href=${edit}>Edit</a>`}<${Period} period=${period} /><${Downloads} path=${path} of=${`of ${title}, ${period.replace("_", " to ")}`} /></div>
  </div>`;
}

const chosenIn = (options) => options.get("period") || monthNow();

function Month({ id, options }) {
  const period = chosenIn(options);
  const path = `/api/programs/${encodeURIComponent(id)}/statements/${period}`;
  const query = useQuery(path, { everyMs: EVERY_MS });
  return html`<div class="page">
    <${Head} crumb=${html`<a href=${hrefTo("programs")}>Programs</a>`} title=${id} period=${period} path=${path} edit=${hrefTo("setup", `program/${id}`)} />
    <${Loaded} query=${query} height="20rem">${(found) => html`<${Statement} found=${found} period=${period} />`}</${Loaded}>
  </div>`;
}

const PROGRAMS = [
  { id: "program", label: "Program", header: true, sort: (one) => one.program_id, cell: (one) => html`<a href=${hrefTo("programs", one.program_id)}>${one.program_id}</a>` },
  { id: "utility", label: "Utility", sort: (one) => one.utility_id, cell: (one) => one.utility_id },
  { id: "kw", label: "Per kW", number: true, cell: (one) => one.terms.rate_per_kw },
  { id: "kwh", label: "Per kWh", number: true, cell: (one) => one.terms.rate_per_kwh },
  { id: "version", label: "Version", number: true, sort: (one) => one.version, cell: (one) => count(one.version) },
  { id: "agreed", label: "Agreed", sort: (one) => one.agreed_at, cell: (one) => html`<span class="nowrap">${moment(one.agreed_at)}</span>` },
];

function Programs() {
  const query = useList("/api/programs?limit=500", { topics: ["program"] });
  return html`<div class="page">
    <div class="page-head"><div><h1 tabindex="-1">Programs</h1><p class="lede">What each program's month or season comes to.</p></div>
      ${may("operate") && html`<div class="actions"><a class="button" href=${hrefTo("setup", "program")}>New program</a></div>`}</div>
    <${Panel} title="All" flush><${LoadedOrRefused} query=${query} what="programs" roles="dashboard, operator or auditor">${(rows) =>
      html`<${Table} caption="Programs" columns=${PROGRAMS} rows=${rows} rowKey=${(one) => one.program_id} first="program" empty="No program is registered yet." />`}</${LoadedOrRefused}></${Panel}>
  </div>`;
}

export function ProgramsView({ id, options }) {
  if (!may("statements", useStore(session))) {
    return html`<div class="page"><div class="page-head"><h1 tabindex="-1">Programs</h1></div><${NotForRole} what="a program's statement" roles="dashboard, operator or auditor" /></div>`;
  }
  return id ? html`<${Month} id=${id} options=${options} />` : html`<${Programs} />`;
}

export function FacilityStatementView({ id, options }) {
  const { facilityId } = useStore(session);
  const period = chosenIn(options);
  const path = `/api/facilities/${encodeURIComponent(id ?? "")}/statements/${period}`;
  const query = useQuery(id && path, { everyMs: EVERY_MS });
  const opened = options.get("settlement");
  const place = useRef(null);
  useEffect(() => place.current?.scrollIntoView({ block: "start" }), [opened, Boolean(query.data)]);
  if (!id) return html`<div class="page"><div class="page-head"><h1 tabindex="-1">Statement</h1></div><${Empty} title="Of which facility?"><a href=${hrefTo("facilities")}>Choose one</a></${Empty}></div>`;
  const crumb = html`<a href=${hrefTo("facilities", id)}>Facility</a> / statement`;
  return html`<div class="page">
    <${Head} crumb=${crumb} title=${id} period=${period} path=${path} />
    <${Loaded} query=${query} height="20rem">${({ programs }) =>
      programs.length ? programs.map((found) => html`<${Statement} key=${found.program_id} found=${found} period=${period} own=${Boolean(facilityId)} />`) : html`<${Empty} title="In no program in this period" />`}</${Loaded}>
    ${opened && html`<div class="below-bar" key=${opened} ref=${place}><${Settlement} id=${opened} /></div>`}
  </div>`;
}
