// The numbers of a DR event and where they come from, and how each of its facilities was measured.
import { Empty, Loaded, Panel } from "../components/parts.js";
import { Table } from "../components/table.js";
import { html, useMemo } from "../dom.js";
import { NONE, kw, percent } from "../format.js";
import { useQuery } from "../query.js";
import { setOption } from "../router.js";
import { FacilityMeasurement } from "./dr_event_measurement.js";
import { NumberTable, Origin } from "../components/number_table.js";

/** What is known of the error of a measurement, in few words. */
export function errorOf(measured) {
  if (measured?.uncertainty) {
    const { kw_80: narrow, share_80: share } = measured.uncertainty;
    return `±${kw(narrow)} kW${share === null ? "" : `, ${percent(share)}`}`;
  }
  return measured?.expected_error ? `CVRMSE ${percent(measured.expected_error.cvrmse, 1)}` : NONE;
}

function facilityColumns(id, open) {
  const found = (part, name) => part.numbers.find((number) => number.name === name);
  return [
    {
      id: "facility", label: "Facility", header: true, sort: (part) => part.facility_id,
      cell: (part) => html`<button class="linklike" type="button" aria-expanded=${String(open === part.facility_id)}
        onClick=${() => setOption("facility", open === part.facility_id ? "" : part.facility_id)}>${part.facility_id}</button>`,
    },
    { id: "method", label: "Method", sort: (part) => part.measurement?.baseline_method, cell: (part) => html`<span class="nowrap">${part.measurement?.baseline_method || html`<span class="faint">${part.not_measurable_reason ? "not measurable" : NONE}</span>`}</span>` },
    { id: "baseline", label: "Baseline, kW", number: true, sort: (part) => part.measurement?.baseline_kw, cell: (part) => kw(part.measurement?.baseline_kw) },
    { id: "metered", label: "Metered, kW", number: true, sort: (part) => part.measurement?.metered_kw, cell: (part) => kw(part.measurement?.metered_kw) },
    { id: "delivered", label: "Delivered, kW", number: true, sort: (part) => part.delivered_kw, cell: (part) => html`<strong>${kw(part.delivered_kw)}</strong>` },
    { id: "error", label: "Error", number: true, cell: (part) => errorOf(part.measurement) },
    { id: "origin", label: "Comes from", cell: (part) => (found(part, "delivered_kw") ? html`<${Origin} id=${id} origin=${found(part, "delivered_kw").origin} timed=${false} />` : NONE) },
  ];
}

function Facilities({ id, found, parts, open }) {
  const columns = useMemo(() => facilityColumns(id, open), [id, open]);
  const rows = useMemo(() => {
    const dispatches = new Map(parts.map((part) => [part.facility_id, part]));
    return found.items.map((item) => ({ ...dispatches.get(item.facility_id), ...item }));
  }, [found, parts]);
  return html`<${Table} caption="How each facility was measured" columns=${columns} rows=${rows} rowKey=${(part) => part.facility_id} first="facility" tall
    selected=${(part) => part.facility_id === open} text=${(part) => `${part.facility_id} ${part.measurement?.baseline_method || ""}`} empty="No facility has a part yet." />`;
}

/** `asOf`: a moment or null for now; `open`: the facility whose measurement is shown. */
export function DREventMeasured({ id, parts, asOf, open }) {
  const path = `/api/dr-events/${id}/measurements?limit=100${asOf ? `&as_of=${encodeURIComponent(asOf)}` : ""}`;
  const query = useQuery(path, asOf ? {} : { topics: [`dr-event:${id}`] });
  const note = query.data?.next_cursor ? "the first 100 facilities" : "choose a facility to see how";
  return html`<div class="grid">
    <${Panel} title="Numbers and where they come from" flush className="span-5">
      <${Loaded} query=${query} lines=6>${(found) => html`<${NumberTable} id=${id} numbers=${found.numbers} caption="Numbers of the DR event" />`}</${Loaded}>
    </${Panel}>
    <${Panel} title="How it was measured" flush className="span-7" note=${note}>
      <${Loaded} query=${query} lines=6>${(found) =>
        found.items.length
          ? html`<${Facilities} id=${id} found=${found} parts=${parts} open=${open} />`
          : html`<${Empty} title="Nothing is measured yet">Each facility is measured after the window, once its readings have arrived.</${Empty}>`}</${Loaded}>
    </${Panel}></div>
    ${open && html`<${FacilityMeasurement} id=${id} facility=${open} asOf=${asOf} />`}`;
}
