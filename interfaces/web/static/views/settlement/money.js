// Amounts as the documents write them, decimal strings: separated by thousands, never computed with.
import { download } from "../../api.js";
import { Icon } from "../../components/glyph.js";
import { toast } from "../../components/toasts.js";
import { html } from "../../dom.js";
import { NONE, words } from "../../format.js";

/** `-1234.50` -> `-1,234.50`; a dash for null. */
export function amount(text) {
  if (text === null || text === undefined) return NONE;
  const [whole, ...rest] = text.split(".");
  return [whole.replace(/\B(?=(\d{3})+$)/g, ","), ...rest].join(".");
}
export const money = (text, currency) => (text === null || text === undefined ? NONE : `${amount(text)} ${currency}`);
/** A difference: with its sign. */
export const signed = (text) => (/^[^-]*[1-9]/.test(text ?? "") ? `+${amount(text)}` : amount(text));
/** A formula as it is read: `4,125.00 × 100.000 kW × 0.90`. */
export const readableFormula = (formula) => formula.replaceAll(" x ", " × ").replace(/(?<![\d.])\d{4,}/g, amount);

const REASONS = {
  no_rule: "its program has no settlement rule",
  cancelled_before_start: "it was cancelled before its start",
  coverage: "too few of its steps were metered",
  baseline: "it has no baseline",
  no_facility: "no facility took part",
  opted_out: "it opted out before the start",
  failed: "it never reduced its load",
  excused: "it was excused",
  no_window: "no whole metering step lies in its window",
  no_commitment: "nothing was committed",
  minimum_performance: "below the minimum performance",
};
/** Codes in words, joined. */
export const reasonsOf = (codes) => codes.map((code) => REASONS[code] || words(code)).join("; ");

/** The statement of `path` as a printable page in a tab of its own, and as records for a spreadsheet. */
export function Downloads({ path, of }) {
  const save = () => download(path, "statement.csv", "text/csv").catch((error) => toast(`Not saved: ${error.message}`));
  return html`<a class="button small" href=${path} target="_blank" rel="noopener" aria-label=${`Statement ${of}, printable, in a new tab`}>Statement</a>
    <button class="button small" type="button" onClick=${save} aria-label=${`Save the statement ${of} as CSV`}><${Icon} name="download" />CSV</button>`;
}
