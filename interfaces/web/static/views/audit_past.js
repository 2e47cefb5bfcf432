// A DR event as it stood at a position of the log: asked of the server, while the slider is dragged, too.
import { Problem, get, getAll } from "../api.js";
import { StateLegend } from "../components/facility_tiles.js";
import { Glyph } from "../components/glyph.js";
import { Empty, Panel, ProblemNote, Skeleton } from "../components/parts.js";
import { html, useEffect, useMemo, useState } from "../dom.js";
import { kw } from "../format.js";
import { hrefTo } from "../router.js";
import { looks } from "../states.js";
import { DispatchRows } from "./dispatch_rows.js";
import { DREventFigures, Progress } from "./dr_event_progress.js";

const REST_MS = 120;
const MOST_KEPT = 200;
const MANY = 120;
const NO_PART = { tone: "idle", shape: "ring", words: "no part yet" };

/** What meters said while the window ran; a server without that answer leaves it out. */
function performance(id, asOf, signal) {
  return getAll(`/api/dr-events/${id}/performance?limit=500${asOf}`, { signal }).catch((error) => {
    if (error.status === 404) return [];
    throw error;
  });
}

/** `{row, parts}` at a position, null for now. Raises Problem. */
async function stood(id, position, signal) {
  const asOf = position === null ? "" : `&as_of=${position}`;
  const [row, parts, met] = await Promise.all([
    get(`/api/dr-events/${id}${asOf.replace("&", "?")}`, { signal }),
    getAll(`/api/dr-events/${id}/dispatches?limit=500${asOf}`, { signal }),
    performance(id, asOf, signal),
  ]);
  const found = new Map(met.map((one) => [one.facility_id, one]));
  return {
    row,
    parts: parts.map((part) => {
      const { verified_by_bms_at, verified_by_meter_at, delivered_kw_so_far } = found.get(part.facility_id) || {};
      return { ...part, verified_by_bms_at, verified_by_meter_at, delivered_kw_so_far };
    }),
  };
}

/**
 * The DR event at `position` (null: now, asked again with each new `head` of its story). What was shown stays until the
 * next is there (`busy`), or cannot be read (`problem`); a position is asked for once the slider rests, given up when it
 * goes on, and kept: the past does not change. `of`: the position that `state` is of, whatever was asked since.
 */
export function usePast(id, position, head) {
  const [kept] = useState(() => new Map());
  const [past, setPast] = useState({ state: null, of: undefined, answered: undefined, problem: null });
  const [tries, setTries] = useState(0);
  useEffect(() => {
    if (position !== null && kept.has(position)) {
      setPast({ state: kept.get(position), of: position, answered: position, problem: null });
      return undefined;
    }
    const controller = new AbortController();
    const ask = async () => {
      try {
        const state = await stood(id, position, controller.signal);
        if (controller.signal.aborted) return;
        if (position !== null) kept.set(position, state);
        if (kept.size > MOST_KEPT) kept.delete(kept.keys().next().value);
        setPast({ state, of: position, answered: position, problem: null });
      } catch (error) {
        if (controller.signal.aborted) return;
        const problem = error instanceof Problem ? error : new Problem(0, { title: "This went wrong", detail: error.message });
        setPast((before) => ({ ...before, answered: position, problem }));
      }
    };
    const resting = setTimeout(ask, REST_MS);
    return () => {
      clearTimeout(resting);
      controller.abort();
    };
  }, [id, position, position === null ? head : null, tries]);
  return { ...past, busy: past.answered !== position, retry: () => setTries(tries + 1) };
}

/** Every facility that was asked then, in the order of their names, with or without a part. */
function facilitiesOf({ row, parts }) {
  const found = new Map(row.facility_ids.map((id) => [id, null]));
  for (const part of parts) found.set(part.facility_id, part);
  return [...found].sort(([a], [b]) => a.localeCompare(b, "en", { numeric: true })).map(([id, part]) => ({ id, part }));
}

const lookOf = ({ part }) => (part ? looks("dispatch", part.status) : NO_PART);

function Tiles({ facilities }) {
  return html`<ul class="tiles ${facilities.length > MANY ? "many" : ""}">
    ${facilities.map((facility) => {
      const { tone, shape, words } = lookOf(facility);
      const delivered = facility.part?.delivered_kw ?? facility.part?.delivered_kw_so_far;
      const power = delivered === null || delivered === undefined ? "" : `, ${kw(delivered)} kW delivered`;
      return html`<li key=${facility.id}><a class="tile" data-tone=${tone} href=${hrefTo("facilities", facility.id)} title=${`${facility.id}: ${words}${power}`}>
        <b><${Glyph} shape=${shape} /><span>${facility.id}</span></b><span>${words}</span></a></li>`;
    })}
  </ul>`;
}

/** The facilities as rows, made only while they are looked at. */
function AsTable({ parts }) {
  const [open, setOpen] = useState(false);
  return html`<details class="as-table" open=${open} onToggle=${(toggled) => setOpen(toggled.target.open)}>
    <summary>As a table</summary>${open && html`<${DispatchRows} parts=${parts} />`}</details>`;
}

export function PastState({ past, when }) {
  const { state, problem, busy, retry } = past;
  const facilities = useMemo(() => (state ? facilitiesOf(state) : []), [state]);
  if (!state) return problem ? html`<${ProblemNote} problem=${problem} retry=${retry} />` : html`<${Skeleton} height="20rem" />`;
  return html`<div class="stack past" aria-busy=${busy ? "true" : "false"} id="past">
    ${problem && html`<${ProblemNote} problem=${problem} retry=${retry} /><p class="soft">What follows still stands ${when}.</p>`}
    <${Panel} title="Progress" note=${when}><${Progress} row=${state.row} /></${Panel}>
    <${DREventFigures} row=${state.row} parts=${state.parts} />
    <${Panel} title="Facilities" note=${when} end=${html`<${StateLegend} rows=${facilities} looksOf=${lookOf} />`}>
      ${facilities.length ? html`<${Tiles} facilities=${facilities} /><${AsTable} parts=${state.parts} />` : html`<${Empty} title="No facility was asked yet" />`}
    </${Panel}>
  </div>`;
}

/** In one sentence, for those who do not see it. */
export function told({ row, parts }) {
  const counted = new Map();
  for (const part of parts) counted.set(part.status, (counted.get(part.status) || 0) + 1);
  const states = [...counted].map(([status, number]) => `${number} ${looks("dispatch", status).words}`).join(", ");
  return `${looks("dr-event", row.status).words}${states ? `; facilities: ${states}` : ""}`;
}
