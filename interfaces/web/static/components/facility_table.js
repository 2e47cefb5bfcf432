// Facilities as a table.
import { html, useMemo } from "../dom.js";
import { NONE, kw, span, words } from "../format.js";
import { hrefTo } from "../router.js";
import { facilityState, servedOf } from "../states.js";
import { Chip } from "./parts.js";
import { Table } from "./table.js";

function columnsOf(current) {
  const now = (row) => current?.byFacility.get(row.facility_id);
  const stateOf = (row) => facilityState(row, now(row));
  return [
    { id: "facility", label: "Facility", header: true, sort: (row) => row.facility_id, cell: (row) => html`<a href=${hrefTo("facilities", row.facility_id)}>${row.facility_id}</a>` },
    { id: "state", label: "State", sort: (row) => stateOf(row).words, cell: (row) => html`<${Chip} look=${stateOf(row)} />` },
    { id: "load", label: "Load, kW", number: true, sort: (row) => now(row)?.kw, cell: (row) => kw(now(row)?.kw) },
    { id: "age", label: "Reading", number: true, sort: (row) => now(row)?.age_s, cell: (row) => (now(row) ? `${span(now(row).age_s)} ago`.replace(`${NONE} ago`, "none") : NONE) },
    { id: "curtailable", label: "Curtailable, kW", number: true, sort: (row) => row.curtailable_kw, cell: (row) => kw(row.curtailable_kw) },
    { id: "target", label: "Target, kW", number: true, sort: (row) => row.latest_dispatch?.target_kw, cell: (row) => kw(row.latest_dispatch?.target_kw) },
    { id: "zones", label: "Zones", number: true, sort: (row) => row.zones.length, cell: (row) => row.zones.length },
    { id: "served", label: "DR events served", number: true, sort: servedOf, cell: servedOf },
    { id: "programs", names: true, label: "Programs", cell: (row) => row.programs.join(", ") || NONE },
    { id: "groups", names: true, label: "Groups", sort: (row) => (row.groups || []).join(), cell: (row) => (row.groups || []).join(", ") || NONE },
    { id: "place", names: true, label: "Weather cell", sort: (row) => row.weather_cell, cell: (row) => words(row.weather_cell.replaceAll("-", " ")) },
  ];
}

export function FacilityTable({ rows, current }) {
  const columns = useMemo(() => columnsOf(current), [current]);
  return html`<${Table} caption="Facilities" columns=${columns} rows=${rows} rowKey=${(row) => row.facility_id} first="facility" tall download="facilities"
    text=${(row) => `${row.facility_id} ${row.status} ${row.programs.join(" ")} ${(row.groups || []).join(" ")} ${row.weather_cell} ${facilityState(row).words}`}
    empty="No facility is imported yet: gridproof facilities import FILE" />`;
}
