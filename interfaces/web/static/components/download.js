// What is shown, as a file: every row that the filter left, not only those that are drawn.
import { saved } from "../api.js";
import { html } from "../dom.js";
import { Icon } from "./glyph.js";

/** A cell of CSV; text that a spreadsheet would take for a formula is marked as text. */
function cellOf(value) {
  if (value === null || value === undefined) return "";
  const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** `columns`: `{label, value(row)}`. */
export function csvOf(columns, rows) {
  const lines = [columns.map(({ label }) => cellOf(label)), ...rows.map((row) => columns.map(({ value }) => cellOf(value(row))))];
  return `${lines.map((line) => line.join(",")).join("\r\n")}\r\n`;
}

/** `rows()`: what is shown now, as the server told it. */
export function Download({ name, columns, rows }) {
  const csv = () => saved(new Blob([csvOf(columns, rows())], { type: "text/csv" }), `${name}.csv`);
  const json = () => saved(new Blob([JSON.stringify(rows(), null, 1)], { type: "application/json" }), `${name}.json`);
  return html`<span class="buttons downloads">
    <button class="button small quiet" type="button" title="Download what is shown as CSV" onClick=${csv}><${Icon} name="download" />CSV</button>
    <button class="button small quiet" type="button" title="Download what is shown as JSON" onClick=${json}>JSON</button></span>`;
}
