// Facilities: all of them, and one, with what an operator may do about it.
import { get, getAll, send } from "../api.js";
import { ConfirmDialog } from "../components/dialog.js";
import { FacilityTable } from "../components/facility_table.js";
import { Chip, Figures, Loaded, Panel } from "../components/parts.js";
import { toast } from "../components/toasts.js";
import { useCurrent } from "../current.js";
import { html, useEffect, useMemo, useState } from "../dom.js";
import { clock, count, howMany, kw, readable, span, words } from "../format.js";
import { noteReadings } from "../live.js";
import { refetch, useList, useLoaded, useQuery } from "../query.js";
import { hrefTo } from "../router.js";
import { serverNow } from "../server_clock.js";
import { may, session } from "../session.js";
import { facilityState, looks, servedOf } from "../states.js";
import { useStore } from "../store.js";
import { Building, Served, Zones, useHealth } from "./facility_building.js";
import { FacilityForecast, useForecast } from "./facility_forecast.js";
import { FacilityGaps } from "./facility_gaps.js";
import { Groups } from "./facility_groups.js";
import { FacilityHistory, correctionsOf } from "./facility_history.js";

const MOST_SERVED = 8;
const NONE_YET = [];

export function FacilitiesView() {
  const facilities = useList("/api/facilities?limit=500", { topics: ["facility", "dispatch"] });
  const current = useCurrent(facilities.data);
  return html`<div class="page">
    <div class="page-head"><h1 tabindex="-1">Facilities</h1>${may("operate") && html`<div class="actions"><a class="button" href=${hrefTo("setup", "facility")}>Register…</a></div>`}</div>
    <${Groups} />
    <${Panel} title="All" flush note=${howMany(facilities.data)}>
      <${Loaded} query=${facilities} lines=8>${(rows) => html`<${FacilityTable} rows=${rows} current=${current.data} />`}</${Loaded}>
    </${Panel}>
  </div>`;
}

const QUESTIONS = {
  maintain: { title: "Start maintenance", consequence: "Until it ends, the facility is in no plan and new DR events that ask for it are refused.", confirm: "Start maintenance", path: "maintenance", body: { action: "start" }, done: "is in maintenance" },
  resume: { title: "End maintenance", consequence: "The facility can be planned for DR events again.", confirm: "End maintenance", reason: null, path: "maintenance", body: { action: "end" }, done: "is active again" },
  deactivate: { title: "Deactivate", consequence: "It is taken out of service for good: its future reservations are released, it is not forecast, and its readings are refused. While it serves this is refused: opt it out first.", confirm: "Deactivate", danger: true, path: "deactivation", body: {}, done: "is deactivated" },
  reactivate: { title: "Reactivate", consequence: "It is in service again, as it was registered.", confirm: "Reactivate", path: "reactivation", body: {}, done: "is active again" },
  "opt-out": { title: "Opt out", consequence: "It serves no DR event until it opts in again; if it is curtailed now, it is restored at once.", confirm: "Opt out", danger: true, path: "opt-out", body: {}, done: "has opted out" },
  "opt-in": { title: "Opt in", consequence: "It serves DR events again, those to come too.", confirm: "Opt in", path: "opt-in", body: {}, done: "has opted in" },
};

function Question({ id, kind, close }) {
  const { title, path, body, done, ...words_ } = QUESTIONS[kind];
  const perform = (reason) => send("POST", `/api/facilities/${encodeURIComponent(id)}/${path}`, { ...body, ...(reason ? { reason } : {}) });
  const finished = () => {
    toast(`${id} ${done}.`);
    refetch(`/api/facilities/${encodeURIComponent(id)}`);
  };
  return html`<${ConfirmDialog} title=${`${title}: ${id}`} ...${words_} perform=${perform} close=${close} done=${finished} />`;
}

/** What a person may ask for: an owner opts out, and ends only what an owner began. */
function offersFor(row, operates) {
  const participation = row.opted_out ? ["opt-in", "Opt in…"] : ["opt-out", "Opt out…"];
  if (!operates) return row.status === "deactivated" || (row.opted_out && !row.opted_out_by_owner) ? [] : [participation];
  if (row.status === "deactivated") return [["reactivate", "Reactivate…"]];
  return [row.status === "maintenance" ? ["resume", "End maintenance…"] : ["maintain", "Start maintenance…"], participation, ["deactivate", "Deactivate…"]];
}

function Actions({ row, operates, ask }) {
  const offers = offersFor(row, operates);
  return offers.map(([kind, text]) => html`<button key=${kind} class="button ${QUESTIONS[kind].danger ? "danger" : ""}" type="button" onClick=${() => ask(kind)}>${text}</button>`);
}

function figuresOf(row, current, forecast) {
  const now = serverNow();
  const step = forecast?.steps.find((one) => Date.parse(one.starts_at) <= now && now < Date.parse(one.ends_at));
  const quality = forecast && looks("quality", forecast.stale ? "stale" : forecast.counts_as);
  return [
    { label: "Load now", value: kw(current?.kw), unit: "kW", hint: current?.age_s == null ? "no reading yet" : `${span(current.age_s)} old${current.source === "last_known" ? ", as last known" : ""}`, tone: current?.stale ? "warn" : undefined, shape: current?.stale ? "triangle" : undefined },
    { label: "Foreseen now", value: kw(step?.kw.p50), unit: "kW", hint: step ? `${kw(step.kw.p10)} – ${kw(step.kw.p90)}` : "no forecast in force" },
    { label: "Forecast quality", value: quality?.words ?? "none", tone: quality?.tone, shape: quality?.shape, hint: forecast ? `issued ${span(forecast.age_s)} ago` : "" },
    { label: "Curtailable", value: kw(row.curtailable_kw), unit: "kW", hint: row.zones.length === 1 ? "in one zone" : `in ${count(row.zones.length)} zones` },
    { label: "DR events served", value: count(servedOf(row)), hint: row.reservations.length ? `${row.reservations.length} reserved` : "none reserved" },
  ];
}

/** The DR events that ask for it, the newest first, each with its part. */
async function servedBy(id, signal) {
  const rows = (await get(`/api/dr-events?facility=${encodeURIComponent(id)}&limit=${MOST_SERVED}`, { signal })).items;
  return Promise.all(
    rows.map(async (row) => {
      const parts = await getAll(`/api/dr-events/${row.dr_event_id}/dispatches?limit=500`, { signal });
      return { row, part: parts.find((part) => part.facility_id === id) || null };
    }),
  );
}

const MINUTE_MS = 60_000;

/** What time it is there, where people work by it. */
function LocalTime({ tz }) {
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), MINUTE_MS);
    return () => clearInterval(timer);
  }, []);
  return tz && tz !== "UTC" ? html` <span class="faint">· ${clock(new Date(serverNow()).toISOString(), tz)} in ${tz}</span>` : null;
}

function Head({ row, current, ask }) {
  const signedIn = useStore(session);
  return html`<div class="page-head">
    <div>
      <p class="crumb">${may("portfolio", signedIn) ? html`<a href=${hrefTo("facilities")}>Facilities</a>` : "Facility"} / weather cell ${words(row.weather_cell.replaceAll("-", " "))}</p>
      <div class="row"><h1 tabindex="-1">${row.facility_id}</h1><${Chip} look=${facilityState(row, current)} /></div>
      <p class="lede">${row.programs.join(", ") || "in no program"}<${LocalTime} tz=${row.tz} /></p>
      ${row.status_reason && html`<p class="soft">${facilityState(row).words}: ${readable(row.status_reason)}</p>`}
    </div>
    <div class="actions"><a class="button" href=${hrefTo("statements", row.facility_id)}>Statement</a>
      ${may("changes", signedIn) && html`<a class="button" href=${hrefTo("changes", null, { facility: row.facility_id })}>Changes</a>`}${may("operate", signedIn) && html`<a class="button" href=${hrefTo("setup", `facility/${row.facility_id}`)}>Edit</a>`}${may("optOut", signedIn) && html`<${Actions} row=${row} operates=${may("operate", signedIn)} ask=${ask} />`}</div>
  </div>`;
}

export function FacilityView({ id }) {
  const [asked, ask] = useState(null);
  const at = `/api/facilities/${encodeURIComponent(id)}`;
  const query = useQuery(at, { topics: ["facility", "dispatch"] });
  const current = useLoaded(`${at}/current`, async (signal) => {
    const found = await get(`${at}/current`, { signal, anew: true });
    noteReadings(found.measured_at, found.age_s);
    return found;
  }, { topics: ["telemetry"], everyMs: 15_000 });
  const forecast = useForecast(id);
  const health = useHealth(id);
  const signedIn = useStore(session);
  const seesDREvents = may("drEvents", signedIn);
  const served = useLoaded(seesDREvents ? `served by ${id}` : null, (signal) => servedBy(id, signal), { topics: ["dr-event"] });
  const drEvents = useMemo(() => served.data?.map(({ row }) => row).filter((row) => row.starts_at) ?? NONE_YET, [served.data]);
  const corrections = useMemo(() => correctionsOf((served.data || []).map(({ part }) => part).filter(Boolean)), [served.data]);
  return html`<div class="page">
    <${Loaded} query=${query} height="30rem">${(row) => html`
      <${Head} row=${row} current=${current.data} ask=${ask} />
      <${Figures} label="Facility now" items=${figuresOf(row, current.data, forecast.data)} />
      <${FacilityHistory} id=${id} tz=${row.tz} drEvents=${drEvents} corrections=${corrections} />
      <${FacilityGaps} id=${id} />
      <div class="grid"><${FacilityForecast} id=${id} forecast=${forecast} /><${Building} row=${row} health=${health.data} /></div>
      <${Zones} row=${row} health=${health} />
      ${seesDREvents && html`<${Served} query=${served} tz=${row.tz} />`}`}</${Loaded}>
    ${asked && html`<${Question} id=${id} kind=${asked} close=${() => ask(null)} />`}
  </div>`;
}
