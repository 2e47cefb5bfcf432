// What facilities draw now, all at once.
import { get, getAll } from "./api.js";
import { noteReadings } from "./live.js";
import { useLoaded } from "./query.js";

const SIDE_BY_SIDE = 6;
const MOST_ONE_BY_ONE = 60;

/** One by one, a few side by side: of a server without the bulk answer. */
async function oneByOne(ids, signal) {
  const found = [];
  const waiting = ids.slice(0, MOST_ONE_BY_ONE);
  const next = async () => {
    for (let id = waiting.shift(); id; id = waiting.shift()) {
      found.push(await get(`/api/facilities/${encodeURIComponent(id)}/current`, { signal, anew: true }));
    }
  };
  await Promise.all(Array.from({ length: SIDE_BY_SIDE }, next));
  return found;
}

async function allAtOnce(ids, signal) {
  try {
    return await getAll("/api/portfolio/current?limit=500", { signal });
  } catch (error) {
    if (error.status !== 404) throw error;
    return oneByOne(ids, signal);
  }
}

/** `{byFacility, kw, speaking, asked}`: the sum is of those whose meters speak, of how many. */
function summed(items, asked) {
  const speaking = items.filter((item) => item.kw !== null && !item.stale);
  const newest = items.reduce((best, item) => (item.measured_at && (!best || item.measured_at > best.measured_at) ? item : best), null);
  if (newest) noteReadings(newest.measured_at, newest.age_s);
  return {
    byFacility: new Map(items.map((item) => [item.facility_id, item])),
    kw: speaking.length ? speaking.reduce((sum, item) => sum + item.kw, 0) : null,
    speaking: speaking.length,
    asked,
  };
}

/** For the facilities `rows`; nothing before they are known. */
export function useCurrent(rows) {
  const asked = rows?.filter((row) => row.status !== "deactivated").length;
  const load = async (signal) => summed(await allAtOnce(rows.map((row) => row.facility_id), signal), asked);
  return useLoaded(rows ? `current of ${rows.length}` : null, load, { topics: ["telemetry"], everyMs: 30_000 });
}
