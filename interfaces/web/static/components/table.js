// A table that sorts by its heads, filters as one types, and scrolls inside its panel.
import { html, useMemo, useState } from "../dom.js";
import { count } from "../format.js";
import { Download } from "./download.js";
import { Icon } from "./glyph.js";
import { Empty } from "./parts.js";

function compare(first, second) {
  if (first === second) return 0;
  if (first === null || first === undefined) return 1; // what is not known comes last, either way
  if (second === null || second === undefined) return -1;
  return typeof first === "string" ? first.localeCompare(second, "en", { numeric: true }) : first - second;
}

function sorted(rows, column, descending) {
  if (!column?.sort) return rows;
  const unknown = (value) => value === null || value === undefined;
  return [...rows].sort((a, b) => {
    const [one, other] = [column.sort(a), column.sort(b)];
    const order = compare(one, other);
    return descending && !unknown(one) && !unknown(other) ? -order : order;
  });
}

function Head({ column, sort, onSort }) {
  const isSorted = sort.id === column.id;
  const className = `${column.number ? "number" : ""} ${column.fit ? "fit" : ""}`;
  if (!column.sort) return html`<th scope="col" class=${className}>${column.label}</th>`;
  const order = isSorted ? (sort.descending ? "descending" : "ascending") : undefined;
  return html`<th scope="col" class=${className} aria-sort=${order}>
    <button class="sort" type="button" onClick=${() => onSort(column.id)}>${column.label}<${Icon} name="down" size="10" /></button>
  </th>`;
}

const PAGE = 200;

/** A column is a column of the file by what it is sorted by, or by its `value(row)`. */
const exported = (columns) =>
  columns
    .filter(({ value, sort }) => value || sort)
    .map(({ id, label, value, sort }) => ({ label: typeof label === "string" ? label : id, value: value || sort }));

const FLAGS = ["number", "fit", "wrap", "names", "whole"];

function Cells({ row, columns }) {
  return columns.map((column) => {
    const className = FLAGS.filter((flag) => column[flag]).join(" ");
    if (column.header) return html`<th scope="row" class=${className} key=${column.id}>${column.cell(row)}</th>`;
    return html`<td class=${className} key=${column.id} data-label=${typeof column.label === "string" ? column.label : undefined}>${column.cell(row)}</td>`;
  });
}

/**
 * `columns`: `{id, label, cell(row), sort(row)?, value(row)?, number?, fit?, wrap?, names?, whole?, hidden?, header?}`;
 * `names`: ids, which break anywhere; `hidden`: of the file alone. `text(row)` is what the filter looks in; without it there is none. `first`: the column it is sorted by at the
 * beginning, `-id` for the other way. `download`: the name of the file that the rows may be saved as. Of many rows the first 200 are drawn, and more when they are asked for: ten thousand
 * sort and filter as quickly as ten. `below(row)`: a line under the row, over its whole width; null for none. On a narrow
 * screen each row is a card of labelled values (`whole`: over its width), unless `wide`: then the table scrolls sideways.
 */
export function Table({ caption, columns: every, rows, rowKey, first = "", text, tools, tall, wide, selected, below, download, empty = "Nothing here." }) {
  const columns = useMemo(() => every.filter(({ hidden }) => !hidden), [every]);
  const [sort, setSort] = useState({ id: first.replace(/^-/, ""), descending: first.startsWith("-") });
  const [wanted, setWanted] = useState("");
  const [most, setMost] = useState(PAGE);
  const found = useMemo(() => {
    const matching = wanted && text ? rows.filter((row) => text(row).toLowerCase().includes(wanted.toLowerCase())) : rows;
    return sorted(matching, columns.find(({ id }) => id === sort.id), sort.descending);
  }, [rows, wanted, sort, columns]);
  const shown = found.slice(0, most);
  const left = found.length - shown.length;
  const onSort = (id) => setSort(({ id: now, descending }) => ({ id, descending: now === id && !descending }));
  return html`
    ${(text || tools || download) &&
    html`<div class="tools">
      ${text &&
      html`<input class="input inline" type="search" placeholder="Filter" aria-label=${`Filter ${caption}`} value=${wanted}
        onInput=${(typed) => setWanted(typed.target.value)} />`}
      ${tools}
      ${download && rows.length > 0 && html`<${Download} name=${download} columns=${exported(every)} rows=${() => found} />`}
      <span class="faint small" role="status">${wanted ? `${count(found.length)} of ${count(rows.length)}` : ""}</span>
    </div>`}
    <div class="table-frame ${tall ? "tall" : ""}" role="region" aria-label=${caption} tabindex="0">
      <table class="table ${wide ? "" : "cards"}">
        <caption class="visually-hidden">${caption}</caption>
        <thead><tr>${columns.map((column) => html`<${Head} key=${column.id} column=${column} sort=${sort} onSort=${onSort} />`)}</tr></thead>
        <tbody>
          ${shown.map((row) => {
            const more = below?.(row);
            return html`<tr key=${rowKey(row)} class=${more ? "has-below" : undefined} aria-selected=${selected?.(row) ? "true" : undefined}><${Cells} row=${row} columns=${columns} /></tr>
              ${more && html`<tr key=${`below ${rowKey(row)}`} class="below"><td colspan=${columns.length}>${more}</td></tr>`}`;
          })}
        </tbody>
      </table>
      ${left > 0 &&
      html`<p class="more"><button class="button small" type="button" onClick=${() => setMost(most + PAGE)}>Show ${count(Math.min(PAGE, left))} more</button>
        <span class="faint small"> ${count(shown.length)} of ${count(found.length)} are shown</span></p>`}
      ${shown.length === 0 && html`<${Empty} title=${wanted ? `Nothing matches “${wanted}”.` : empty} />`}
    </div>`;
}
