// DR events: all of them, and one.
import { DREventTable } from "../components/dr_event_table.js";
import { Loaded, Panel } from "../components/parts.js";
import { html } from "../dom.js";
import { useList } from "../query.js";

export function DREventsView() {
  const query = useList("/api/dr-events?limit=500", { topics: ["dr-event", "dispatch"] });
  return html`<div class="page">
    <div class="page-head"><h1 tabindex="-1">DR events</h1></div>
    <${Panel} title="All" flush><${Loaded} query=${query} lines=8>${(rows) => html`<${DREventTable} rows=${rows} filter />`}</${Loaded}></${Panel}>
  </div>`;
}

export const DREventView = ({ id }) => html`<div class="page"><h1 tabindex="-1">DR event ${id}</h1></div>`;
