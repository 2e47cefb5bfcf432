// Numbers, moments and spans as people read them. Nothing known is a dash, never a zero.
import { serverNow } from "./server_clock.js";
import { settings } from "./settings.js";

export const NONE = "–";

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });

const known = (value) => value !== null && value !== undefined && !Number.isNaN(value);

/** Power without its unit: tenths below 1,000. */
export const kw = (value) => (!known(value) ? NONE : Math.abs(value) < 999.95 ? tenths.format(value) : whole.format(value));
export const count = (value) => (known(value) ? whole.format(value) : NONE);
export const facilities = (number) => `${count(number)} ${number === 1 ? "facility" : "facilities"}`;
/** Of a list that was fetched: how many, and whether there are more. */
export const howMany = (items) => (!items ? "" : items.cut ? `the first ${count(items.length)} of more` : count(items.length));
export const percent = (share, digits = 0) => (known(share) ? `${(share * 100).toFixed(digits)} %` : NONE);
export const hundredths = (value, digits = 1) => (known(value) ? `${value.toFixed(digits)} %` : NONE);

const zoneOf = (zone) => zone || (settings.get().zone === "utc" ? "UTC" : undefined);
const formats = new Map();
function formatted(date, options, zone) {
  const name = JSON.stringify(options) + zone;
  if (!formats.has(name)) formats.set(name, new Intl.DateTimeFormat("en-GB", { ...options, timeZone: zone }));
  return formats.get(name).format(date);
}

const DAY = { day: "numeric", month: "short" };
const MINUTE = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
const SECOND = { ...MINUTE, second: "2-digit" };

export const clock = (text, zone) => (text ? formatted(new Date(text), MINUTE, zoneOf(zone)) : NONE);
export const clockSeconds = (text, zone) => (text ? formatted(new Date(text), SECOND, zoneOf(zone)) : NONE);
export const day = (text, zone) => (text ? formatted(new Date(text), DAY, zoneOf(zone)) : NONE);
export const moment = (text, zone) => (text ? `${day(text, zone)}, ${clock(text, zone)}` : NONE);
export const momentSeconds = (text, zone) => (text ? `${day(text, zone)}, ${clockSeconds(text, zone)}` : NONE);
export const zoneName = () =>
  settings.get().zone === "utc" ? "UTC" : Intl.DateTimeFormat().resolvedOptions().timeZone;

/** `14 Jul, 22:15 – 22:45`: the day once where it is the same. */
export function between(first, last, zone) {
  if (!first || !last) return NONE;
  const sameDay = day(first, zone) === day(last, zone);
  return `${moment(first, zone)} – ${sameDay ? clock(last, zone) : moment(last, zone)}`;
}

/** A span in the two largest units that matter: `35 s`, `4 min`, `2 h 05 min`, `3 d`. */
export function span(seconds) {
  if (!known(seconds)) return NONE;
  const s = Math.max(0, Math.round(seconds));
  if (s < 90) return `${s} s`;
  const minutes = Math.round(s / 60);
  if (minutes < 90) return `${minutes} min`;
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
  return `${Math.round(minutes / 1440)} d`;
}

export const short = (id) => (id ? String(id).slice(0, 8) : NONE);

const PROPER = { bms: "BMS", "dr event": "DR event", "dr events": "DR events", mqtt: "MQTT", nats: "NATS", postgresql: "PostgreSQL" };
/** `verified_by_meter` -> `verified by meter`, `bms_drift` -> `BMS drift`. */
export const words = (name) =>
  name ? String(name).replaceAll("_", " ").replace(/\b(?:bms|dr events?|mqtt|nats|postgresql)\b/gi, (found) => PROPER[found.toLowerCase()]) : NONE;
export const sentence = (name) => {
  const text = words(name);
  return text[0].toUpperCase() + text.slice(1);
};

/** The zone's own name of a place: `America/Los_Angeles` -> `Los Angeles`. */
const placeName = (zone) => zone.split("/").at(-1).replaceAll("_", " ");
/** A window on the clocks of another zone, which is named; null where that is the zone that times are in anyway. */
export const betweenIn = (first, last, zone) =>
  !zone || !first || zone === zoneName() || ["UTC", "Etc/UTC"].includes(zone) ? null : `${between(first, last, zone)} in ${placeName(zone)}`;

/** With its year where that is not the server's: a reading of 2024 is not one of this July. */
const momentOfYear = (text) => {
  const year = text.slice(0, 4);
  const of = new Date(serverNow()).toISOString().slice(0, 4);
  return year === of ? momentSeconds(text) : `${day(text)} ${year}, ${clockSeconds(text)}`;
};

const MOMENT = /\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)/g;
const UUID = /\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g;
const QUALITY = /\bdegraded_((?!forecast)[a-z_]+)/g;
/** Text that was written for a log as people read it: moments in the zone of the page, which is named, ids by their first part. */
export const readable = (text) =>
  text
    .replace(MOMENT, (at) => `${momentOfYear(at.replace(" ", "T"))} ${zoneName()}`)
    .replace(UUID, short)
    .replace(QUALITY, (_, why) => `degraded (${words(why)})`);
