// A search for facilities and DR events by a part of their name or id.
import { Chip, Empty, Loaded, Panel } from "../components/parts.js";
import { html, useEffect, useRef, useState } from "../dom.js";
import { between, count } from "../format.js";
import { useList } from "../query.js";
import { hrefTo, setOption } from "../router.js";
import { may, session } from "../session.js";
import { facilityState } from "../states.js";
import { useStore } from "../store.js";

const MOST = 50;

function Found({ title, query, text, toRow, wanted }) {
  return html`<${Panel} title=${title} flush className="span-6">
    <${Loaded} query=${query}>${(rows) => {
      const found = rows.filter((row) => text(row).toLowerCase().includes(wanted));
      if (!found.length) return html`<${Empty} title="Nothing matches." />`;
      return html`<ul class="found" aria-label=${title}>${found.slice(0, MOST).map(toRow)}</ul>
        ${found.length > MOST && html`<p class="more small faint">and ${count(found.length - MOST)} more: write more of the name</p>`}`;
    }}</${Loaded}>
  </${Panel}>`;
}

const facilityText = (row) => [row.facility_id, ...(row.groups || []), ...row.programs].join(" ");
const drEventText = (row) => [row.utility_event_id, row.dr_event_id, row.utility_id, row.notification_id].join(" ");

const facilityRow = (row) => html`<li key=${row.facility_id}><a href=${hrefTo("facilities", row.facility_id)}>${row.facility_id}</a><${Chip} look=${facilityState(row)} /></li>`;
const drEventRow = (row) => html`<li key=${row.dr_event_id}><span><a href=${hrefTo("dr-events", row.dr_event_id)}>${row.utility_event_id}</a>
  <span class="small faint block">${row.utility_id}, ${between(row.starts_at, row.ends_at)}</span></span><${Chip} kind="dr-event" state=${row.status} /></li>`;

export function SearchView({ options }) {
  const signedIn = useStore(session);
  const [text, setText] = useState(options.get("q") || "");
  const field = useRef(null);
  const facilities = useList(may("portfolio", signedIn) ? "/api/facilities?limit=500" : null, { topics: ["facility"] });
  const drEvents = useList(may("drEvents", signedIn) ? "/api/dr-events?limit=500" : null, { topics: ["dr-event"] });
  useEffect(() => field.current.focus(), []);
  const typed = ({ target }) => {
    setText(target.value);
    setOption("q", target.value || null);
  };
  const wanted = text.trim().toLowerCase();
  return html`<div class="page">
    <div class="page-head"><h1 tabindex="-1">Search</h1></div>
    <input class="input" type="search" ref=${field} aria-label="Name or id of a facility or a DR event" placeholder="Name or id of a facility or a DR event" value=${text} onInput=${typed} />
    ${wanted && html`<div class="grid">
      ${may("portfolio", signedIn) && html`<${Found} title="Facilities" query=${facilities} text=${facilityText} toRow=${facilityRow} wanted=${wanted} />`}
      ${may("drEvents", signedIn) && html`<${Found} title="DR events" query=${drEvents} text=${drEventText} toRow=${drEventRow} wanted=${wanted} />`}
    </div>`}
  </div>`;
}
