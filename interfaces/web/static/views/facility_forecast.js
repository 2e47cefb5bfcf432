// How well a facility is foreseen: the inputs of its newest forecast, and how earlier ones turned out.
import { Chip, Empty, Facts, Loaded, Panel } from "../components/parts.js";
import { Table } from "../components/table.js";
import { html } from "../dom.js";
import { NONE, count, hundredths, kw, moment, percent, span } from "../format.js";
import { useQuery } from "../query.js";

const COLUMNS = [
  { id: "lead", label: "Ahead", header: true, sort: (one) => one.lead_h, cell: (one) => `${one.lead_h} h` },
  { id: "quarters", label: "Quarter-hours", number: true, cell: (one) => count(one.quarters) },
  { id: "mae", label: "Error, kW", number: true, sort: (one) => one.mae_kw, cell: (one) => kw(one.mae_kw) },
  { id: "share", label: "Of the load", number: true, cell: (one) => percent(one.mean_load_kw ? one.mae_kw / one.mean_load_kw : null, 1) },
  { id: "bias", label: "Bias, kW", number: true, cell: (one) => kw(one.bias_kw) },
  { id: "coverage", label: "In the 80 % interval", number: true, cell: (one) => hundredths(one.coverage_pct, 0) },
  { id: "skill", label: "Better than last week", number: true, cell: (one) => percent(one.skill, 0) },
];

function Newest({ forecast }) {
  if (forecast.problem?.status === 404) return html`<${Empty} title="No forecast in force">${forecast.problem.document.detail}</${Empty}>`;
  return html`<${Loaded} query=${forecast}>${(found) => html`<${Facts} items=${[
    ["Quality", html`<${Chip} kind="quality" state=${found.stale ? "stale" : found.counts_as} />`],
    ["Issued", `${moment(found.issued_at)}, ${span(found.age_s)} ago`],
    ["Model", `${found.model.name}, version ${found.model.version}`],
    ["Trained", `${moment(found.model.trained_at)}, ${span(found.model.age_s)} before`],
    ["Readings", `${hundredths(found.sensor_coverage_pct, 1)} of the day before, the newest ${span(found.reading_age_s)} old${found.readings_left_out ? `, ${found.readings_left_out} left out` : ""}`],
    ["Weather", found.weather_available ? `${span(found.weather_age_s)} old` : "not available"],
  ]} />`}</${Loaded}>`;
}

export const useForecast = (id) => useQuery(`/api/facilities/${encodeURIComponent(id)}/forecast`, { everyMs: 60_000 });

export function FacilityForecast({ id, forecast }) {
  const accuracy = useQuery(`/api/facilities/${encodeURIComponent(id)}/forecast/accuracy`, { everyMs: 300_000 });
  const rows = (accuracy.data?.accuracy || []).filter((one) => one.data_quality === "all");
  return html`<${Panel} title="Forecast and its quality" className="span-7" note=${accuracy.data ? `${accuracy.data.first} to ${accuracy.data.last}` : NONE}>
    <div class="stack">
      <${Newest} forecast=${forecast} />
      <${Loaded} query=${accuracy}>${() => rows.length
        ? html`<div class="inset"><${Table} caption="How forecasts turned out" columns=${COLUMNS} rows=${rows} rowKey=${(one) => one.lead_h} /></div>`
        : html`<p class="soft">No forecast has met its meters yet; the first scores come an hour after the first forecast.</p>`}</${Loaded}>
    </div>
  </${Panel}>`;
}
