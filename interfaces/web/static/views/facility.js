// Facilities: all of them, and one.
import { FacilityTable } from "../components/facility_table.js";
import { Loaded, Panel } from "../components/parts.js";
import { useCurrent } from "../current.js";
import { html } from "../dom.js";
import { useList } from "../query.js";

export function FacilitiesView() {
  const facilities = useList("/api/facilities?limit=500", { topics: ["facility", "dispatch"] });
  const current = useCurrent(facilities.data);
  return html`<div class="page">
    <div class="page-head"><h1 tabindex="-1">Facilities</h1></div>
    <${Panel} title="All" flush>
      <${Loaded} query=${facilities} lines=8>${(rows) => html`<${FacilityTable} rows=${rows} current=${current.data} />`}</${Loaded}>
    </${Panel}>
  </div>`;
}

export const FacilityView = ({ id }) => html`<div class="page"><h1 tabindex="-1">Facility ${id}</h1></div>`;
