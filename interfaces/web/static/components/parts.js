// The small parts of every view: panels, figures, chips, skeletons, empty states, problems.
import { html } from "../dom.js";
import { NONE, span } from "../format.js";
import { looks } from "../states.js";
import { Glyph, Icon } from "./glyph.js";

let ids = 0;

/** A titled part of a view. `note` stands beside the title, `end` at the far side; `flush` lets a table reach the edges. */
export function Panel({ title, note, end, flush, className = "", id, children }) {
  const titleId = id || `panel-${String(title).toLowerCase().replace(/[^a-z0-9]+/g, "-")}`;
  return html`<section class="panel ${className}" aria-labelledby=${titleId}>
    <div class="panel-head">
      <div class="row"><h2 id=${titleId}>${title}</h2>${note && html`<span class="note">${note}</span>`}</div>
      ${end && html`<div class="row">${end}</div>`}
    </div>
    <div class="panel-body ${flush ? "flush" : ""}">${children}</div>
  </section>`;
}

/** Figures side by side: `{label, value, unit, hint, tone, shape}` each. */
export function Figures({ items, label }) {
  return html`<dl class="figures" aria-label=${label}>
    ${items.map(
      ({ label: name, value, unit, hint, tone, shape }) => html`<div class="figure" key=${name} data-tone=${tone}>
        <dt>${shape && html`<span class="toned"><${Glyph} shape=${shape} /></span>`}${name}</dt>
        <dd>${value}${unit && value !== NONE && html`<small>${unit}</small>`}${hint && html`<span class="hint">${hint}</span>`}</dd>
      </div>`,
    )}
  </dl>`;
}

/** A state by its vocabulary: `<Chip kind="dispatch" state="restored" />`; `text` replaces the words. */
export function Chip({ kind, state, look, text }) {
  const { tone, shape, words } = look || looks(kind, state);
  return html`<span class="chip" data-tone=${tone}><${Glyph} shape=${shape} />${text || words}</span>`;
}

/** Names and values below each other; what is null is left out. */
export function Facts({ items }) {
  return html`<dl class="facts">
    ${items
      .filter(([, value]) => value !== null && value !== undefined && value !== "")
      .map(([name, value]) => html`<dt key=${name}>${name}</dt><dd>${value}</dd>`)}
  </dl>`;
}

export function Skeleton({ lines = 3, height = null }) {
  if (height) return html`<span class="skeleton" style=${{ height }} role="status" aria-label="Loading"></span>`;
  return html`<div class="stack" role="status" aria-label="Loading">
    ${Array.from({ length: lines }, (_, n) => html`<span class="skeleton" style=${{ width: `${92 - ((n * 17) % 40)}%` }}></span>`)}
  </div>`;
}

/** Nothing here: says so, and what to do about it. */
export function Empty({ title, children }) {
  return html`<div class="empty"><${Icon} name="empty" /><strong>${title}</strong>${children && html`<p>${children}</p>`}</div>`;
}

const NEXT_STEP = {
  unauthenticated: "Sign in with a key that is not revoked.",
  forbidden: "Sign in with a key of a role that may.",
  "queue-full": "Try again in a moment.",
  "rate-exceeded": "Wait a moment, then try again.",
  "not-allowed-now": "Look at the present state; it may have changed meanwhile.",
  "internal-error": "Try again; if it stays, report the trace id.",
};

function stepOf({ name, status, isAskedAgain }) {
  if (name !== "unavailable" && status !== 0) return NEXT_STEP[name];
  return `${status ? "A store cannot be reached. " : ""}${isAskedAgain ? "The page tries again by itself." : "Try again in a moment."}`;
}

/** A problem document with every reason, the next step and the trace id to report it by. */
export function ProblemNote({ problem, retry }) {
  if (!problem) return null;
  const { title, detail, reasons = [], trace_id: traceId } = problem.document;
  const others = reasons.filter((reason) => reason.detail !== detail);
  const step = stepOf(problem);
  return html`<div class="problem" role="alert">
    <strong>${title || "This went wrong"}</strong>
    ${detail && html`<span>${detail}</span>`}
    ${others.length > 0 &&
    html`<ul>${others.slice(0, 20).map((reason) => html`<li>${reason.facility_id ? `${reason.facility_id}: ` : ""}${reason.detail}</li>`)}</ul>`}
    ${step && html`<span>${step}</span>`}
    ${problem.retryAfterS && html`<span>Again in ${span(problem.retryAfterS)}.</span>`}
    ${traceId && html`<span class="small">Trace <code>${traceId}</code></span>`}
    ${retry && problem.mayPass && html`<div><button class="button small" type="button" onClick=${retry}>Try again</button></div>`}
  </div>`;
}

/**
 * What a query has: a skeleton before the first answer, the problem where there is none, else `children(data)`, with
 * the problem above it where the newest try failed.
 */
export function Loaded({ query, children, lines = 4, height }) {
  if (query.data === undefined) {
    return query.problem ? html`<${ProblemNote} problem=${query.problem} retry=${query.retry} />` : html`<${Skeleton} lines=${lines} height=${height} />`;
  }
  return html`${query.problem && query.problem.status > 0 && html`<${ProblemNote} problem=${query.problem} retry=${query.retry} />`}${children(query.data)}`;
}

/** A bar from 0 to 1 with its meaning in words for those who do not see it. */
export function Meter({ share, label, tone }) {
  const width = `${Math.max(0, Math.min(1, share || 0)) * 100}%`;
  return html`<span class="meter" data-tone=${tone} role="img" aria-label=${label}><i style=${{ width }}></i></span>`;
}

/** Buttons of which one is pressed: `options` as [value, words]. */
export function Segments({ label, options, value, choose }) {
  return html`<div class="segments" role="group" aria-label=${label}>
    ${options.map(
      ([name, words]) =>
        html`<button type="button" key=${name} aria-pressed=${String(name === value)} onClick=${() => choose(name)}>${words}</button>`,
    )}
  </div>`;
}

export const uniqueId = (prefix) => `${prefix}-${(ids += 1)}`;
