// The portfolio: what it draws, what it could shed and sheds, who does what, and what is wrong.
import { AlertList } from "../components/alert_list.js";
import { DREventTable } from "../components/dr_event_table.js";
import { NeedsNow } from "../components/needs.js";
import { Figures, Loaded, Panel } from "../components/parts.js";
import { useCurrent } from "../current.js";
import { html } from "../dom.js";
import { count, facilities, howMany, kw } from "../format.js";
import { useList, useQuery } from "../query.js";
import { hrefTo } from "../router.js";
import { may, session } from "../session.js";
import { facilityState } from "../states.js";
import { useStore } from "../store.js";
import { later } from "./later.js";
import { PortfolioLoad, bandHint, foreseenNow, useForeseen } from "./portfolio_load.js";

/** What is further down is fetched after the first view. */
const FacilityStates = later(null, () => import("../components/facility_tiles.js").then((file) => file.FacilityStates));
const FacilityTable = later(null, () => import("../components/facility_table.js").then((file) => file.FacilityTable));
const OF_THE_LOG = ["dr-event", "dispatch", "facility"];

function figuresOf(row, current, forecast) {
  const now = foreseenNow(forecast);
  // The sum of some is not compared with the forecast of all.
  const isOfAll = current && current.speaking >= current.asked;
  const outside = isOfAll && now && (current.kw < now.p10 || current.kw > now.p90);
  const foreseen = bandHint(now);
  return [
    {
      label: "Load now",
      value: kw(current?.kw ?? null),
      unit: "kW",
      hint: (isOfAll || !current ? foreseen : `of ${count(current.speaking)} of ${facilities(current.asked)} whose meters speak${foreseen ? `; all: ${foreseen}` : ""}`) || " ",
      tone: outside ? "warn" : undefined,
      shape: outside ? "triangle" : undefined,
    },
    { label: "Available", value: kw(row.available_kw), unit: "kW", hint: `of ${kw(row.declared_kw)} declared` },
    { label: "Reserved", value: kw(row.reserved_kw), unit: "kW", hint: facilities(row.reserved_facilities) },
    { label: "Committed", value: kw(row.committed_kw), unit: "kW", hint: "of buildings curtailed now" },
    {
      label: "Delivered",
      value: row.committed_kw > 0 ? kw(row.delivering_kw) : kw(row.last_delivered_kw),
      unit: "kW",
      hint: row.committed_kw > 0 ? "by their meters, now" : lastDeliveredHint(row),
    },
    {
      label: "Facilities",
      value: count(row.active_facilities),
      unit: `of ${count(row.registered_facilities)}`,
      hint: [
        row.facilities_in_maintenance && `${row.facilities_in_maintenance} in maintenance`,
        row.withheld_facilities && `${row.withheld_facilities} withheld`,
      ].filter(Boolean).join(", ") || "all active",
    },
    ...notReadyOf(row),
  ];
}

function lastDeliveredHint(row) {
  if (!row.last_measured_dr_event) return "no DR event yet";
  return row.last_delivered_kw === null ? "not measurable in the last DR event" : "by the last DR event";
}

/** Facilities of open DR events that do not serve, or may not; no figure while all are ready. */
function notReadyOf(row) {
  if (!row.blocked_facilities && !row.at_risk_facilities && !row.dropped_out_facilities) return [];
  const hint = [
    row.at_risk_facilities && `${count(row.at_risk_facilities)} at risk`,
    row.dropped_out_facilities && `${count(row.dropped_out_facilities)} dropped out`,
  ].filter(Boolean).join(", ");
  return [{ label: "Blocked", value: count(row.blocked_facilities), unit: "facilities", hint: hint || "by degraded forecasts", tone: "warn", shape: "triangle" }];
}

function Alerts() {
  const query = useQuery("/api/alerts?limit=200", { topics: ["alert"], everyMs: 30_000 });
  const number = query.data?.items.length;
  return html`<${Panel} title="Alerts" note=${number ? `${number} open` : ""} flush className="span-4">
    <div class="scrolls" tabindex="0" role="region" aria-label="Open alerts">
      <${Loaded} query=${query} lines=5>${({ items }) => html`<${AlertList} alerts=${items} />`}</${Loaded}>
    </div>
  </${Panel}>`;
}

function NewestDREvents({ readiness }) {
  const query = useQuery("/api/dr-events?limit=8", { topics: ["dr-event", "dispatch"] });
  return html`<${Panel} title="DR events" flush className="wall-7" end=${html`<a href=${hrefTo("dr-events")}>All DR events</a>`}>
    <${Loaded} query=${query}>${({ items }) => html`<${DREventTable} rows=${items} readiness=${readiness} />`}</${Loaded}>
  </${Panel}>`;
}

export function PortfolioView() {
  const signedIn = useStore(session);
  const portfolio = useQuery("/api/portfolio", { topics: OF_THE_LOG });
  const rows = useList("/api/facilities?limit=500", { topics: OF_THE_LOG });
  const current = useCurrent(rows.data);
  const forecast = useForeseen();
  const powerOf = (row) => current.data?.byFacility.get(row.facility_id)?.kw ?? null;
  const stateOf = (row) => facilityState(row, current.data?.byFacility.get(row.facility_id));
  const showsAlerts = may("alerts", signedIn);
  return html`<div class="page">
    <div class="page-head"><h1 tabindex="-1">Portfolio</h1></div>
    <${NeedsNow} readiness=${portfolio.data?.readiness} />
    ${portfolio.data
      ? html`<${Figures} label="Portfolio now" items=${figuresOf(portfolio.data, current.data, forecast.data)} />`
      : html`<${Loaded} query=${portfolio} height="6rem">${() => null}</${Loaded}>`}
    <div class="grid">
      <${PortfolioLoad} query=${forecast} />
      ${showsAlerts && html`<${Alerts} />`}
      <${NewestDREvents} readiness=${portfolio.data?.readiness} />
      <${Panel} title="Facilities by state" className="wall-5">
        <${Loaded} query=${rows} height="8rem">${(all) => html`<${FacilityStates} rows=${all} looksOf=${stateOf} powerOf=${powerOf} />`}</${Loaded}>
      </${Panel}>
    </div>
    <${Panel} title="Facilities" flush note=${howMany(rows.data)}>
      <${Loaded} query=${rows} lines=8>${(all) => html`<${FacilityTable} rows=${all} current=${current.data} />`}</${Loaded}>
    </${Panel}>
  </div>`;
}
