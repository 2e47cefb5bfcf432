// The operator's groups of facilities, with the totals of each.
import { Panel } from "../components/parts.js";
import { Table } from "../components/table.js";
import { html } from "../dom.js";
import { count, kw } from "../format.js";
import { useQuery } from "../query.js";

const COLUMNS = [
  { id: "group", label: "Group", header: true, sort: (one) => one.group, cell: (one) => one.group },
  { id: "facilities", label: "Facilities", number: true, sort: (one) => one.facilities, cell: (one) => count(one.facilities) },
  { id: "active", label: "Active", number: true, sort: (one) => one.active_facilities, cell: (one) => count(one.active_facilities) },
  { id: "declared", label: "Declared, kW", number: true, sort: (one) => one.declared_kw, cell: (one) => kw(one.declared_kw) },
  { id: "available", label: "Available, kW", number: true, sort: (one) => one.available_kw, cell: (one) => kw(one.available_kw) },
  { id: "reserved", label: "Reserved, kW", number: true, sort: (one) => one.reserved_kw, cell: (one) => kw(one.reserved_kw) },
];

/** The operator's own groups; nothing where the portfolio names none. */
export function Groups() {
  const query = useQuery("/api/portfolio/groups", { topics: ["facility"] });
  if (!query.data?.items.length) return null;
  return html`<${Panel} title="Groups" flush note="a facility counts in each of its groups">
    <${Table} caption="Groups" columns=${COLUMNS} rows=${query.data.items} rowKey=${(one) => one.group} first="group" empty="" />
  </${Panel}>`;
}
