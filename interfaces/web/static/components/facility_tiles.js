// Every facility as a tile, grouped by the place it shares its weather with: who does what, at a glance.
import { html } from "../dom.js";
import { count, kw } from "../format.js";
import { hrefTo } from "../router.js";
import { Glyph } from "./glyph.js";

const MANY = 120;
const MOST = 600;

/** West to east, as on a map, those without coordinates last: `[place, rows]`. */
function places(rows) {
  const found = Map.groupBy ? Map.groupBy(rows, (row) => row.weather_cell) : grouped(rows);
  const west = (group) => {
    const located = group.filter((row) => row.longitude !== null);
    return located.length ? located.reduce((sum, row) => sum + row.longitude, 0) / located.length : 181;
  };
  return [...found].sort(([, a], [, b]) => west(a) - west(b));
}

function grouped(rows) {
  const found = new Map();
  for (const row of rows) found.set(row.weather_cell, [...(found.get(row.weather_cell) || []), row]);
  return found;
}

/** How many are in each state, worst known words first come as they are met. */
export function StateLegend({ looksOf, rows }) {
  const counted = new Map();
  for (const row of rows) {
    const look = looksOf(row);
    const known = counted.get(look.words) || { ...look, number: 0 };
    counted.set(look.words, { ...known, number: known.number + 1 });
  }
  return html`<div class="legend counts">
    ${[...counted.values()]
      .sort((a, b) => b.number - a.number)
      .map(({ tone, shape, words, number }) => html`<span key=${words} data-tone=${tone}><span class="toned"><${Glyph} shape=${shape} /></span>${words}<output>${count(number)}</output></span>`)}
  </div>`;
}

const WORST_FIRST = ["bad", "warn", "busy"];
const isCalm = ({ tone }) => !WORST_FIRST.includes(tone);

/** Those that are drawn of many: none that is in order, and where they are too many, the worst. */
function drawnOf(rows, looksOf) {
  if (rows.length <= MOST) return new Set(rows);
  const rank = (row) => WORST_FIRST.indexOf(looksOf(row).tone);
  return new Set(rows.filter((row) => rank(row) >= 0).sort((a, b) => rank(a) - rank(b)).slice(0, MOST));
}

/** How many are not drawn, those in order apart from those that are not. */
function othersOf(group, drawn, looksOf) {
  const others = group.filter((row) => !drawn.has(row));
  const calm = others.filter((row) => isCalm(looksOf(row))).length;
  const troubled = others.length - calm;
  return [troubled && `${count(troubled)} not shown`, calm && `${count(calm)} in order`].filter(Boolean).join(", ");
}

function Tile({ row, look: { tone, shape, words }, power }) {
  return html`<a class="tile" data-tone=${tone} href=${hrefTo("facilities", row.facility_id)} title=${`${row.facility_id}: ${words}`}>
    <b><${Glyph} shape=${shape} /><span>${row.facility_id}</span></b>
    <span><span class="visually-hidden">${words}, </span>${power === null || power === undefined ? words : `${kw(power)} kW`}</span>
  </a>`;
}

/**
 * `looksOf(row)` gives the state, `powerOf(row)` what it draws in kW (null: not known). Of more than can be taken in,
 * those that are in order are a number, and so are those that are not beyond the worst.
 */
export function FacilityTiles({ rows, looksOf, powerOf }) {
  const groups = places(rows);
  const drawn = drawnOf(rows, looksOf);
  return html`<div>
    ${groups.map(([place, group]) => {
      const shown = group.filter((row) => drawn.has(row));
      const others = othersOf(group, drawn, looksOf);
      return html`<div class="place" key=${place}>
        ${groups.length > 1 && html`<h3>Weather: ${place.replaceAll("-", " ")}</h3>`}
        <div class="tiles ${rows.length > MANY ? "many" : ""}">
          ${shown.map((row) => html`<${Tile} key=${row.facility_id} row=${row} look=${looksOf(row)} power=${powerOf(row)} />`)}
        </div>
        ${others && html`<p class="small soft others">${shown.length ? "and " : ""}${others}</p>`}
      </div>`;
    })}
  </div>`;
}

/** The same with how many are in each state above. */
export const FacilityStates = (properties) => html`<${StateLegend} ...${properties} /><${FacilityTiles} ...${properties} />`;
