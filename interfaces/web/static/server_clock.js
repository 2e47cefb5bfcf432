// What time the server has: its clock is data, in a demo it even runs faster. Ages are told by it, never by ours.
const LEAST_APART_MS = 2000;

let first = null;
let last = null;

/** Notes a moment that the server called `now`; one that it has said before tells nothing new. */
export function noteServerTime(text) {
  const sample = { server: Date.parse(text), wall: Date.now() };
  if (Number.isNaN(sample.server) || (last && sample.server <= last.server)) return;
  if (!last || sample.wall - last.wall >= LEAST_APART_MS) {
    first = last;
    last = sample;
  }
}

function speed() {
  if (!first) return 1;
  const found = (last.server - first.server) / (last.wall - first.wall);
  return found > 0.8 && found < 1.25 ? 1 : found; // readings' own rhythm is no other speed
}

/** Milliseconds since 1970 by the server's clock, as far as it has said so. */
export function serverNow() {
  return last ? last.server + (Date.now() - last.wall) * speed() : Date.now();
}

/** Whether the server has said it at all; until then `serverNow` is the browser's, which a demo is far from. */
export const isKnown = () => last !== null;
export const isAccelerated = () => speed() !== 1;
export const ageSeconds = (text) => (text ? Math.max(0, (serverNow() - Date.parse(text)) / 1000) : null);
