// Every step of a DR event: who, what, why, and the step that caused it.
import { Chip, Empty, Panel } from "../components/parts.js";
import { html, useEffect, useMemo, useRef, useState } from "../dom.js";
import { clockSeconds, count, day } from "../format.js";
import { hrefTo } from "../router.js";

const PAGE = 60;
const KINDS = { "dr-event": ["DR event", "busy", "square"], dispatch: ["dispatch", "idle", "dot"], facility: ["reservation", "idle", "ring"] };
const IS_BAD = /rejected|refused|failed|gave-up|undeliverable|blocked|drift|aborted|not-measurable/;
const IS_GOOD = /succeeded|restored|committed|completed|verified|measured|delivered/;

function lookOf({ topic }) {
  const [words, tone, shape] = KINDS[topic.split(".")[0]] || [topic, "idle", "ring"];
  if (IS_BAD.test(topic)) return { words, tone: "bad", shape: "cross" };
  return IS_GOOD.test(topic) ? { words, tone: "ok", shape: "check" } : { words, tone, shape };
}

function Cause({ cause, linkTo }) {
  if (cause.kind === "command") return html`<span title=${cause.causation_id}>a command</span>`;
  if (!cause.position) return html`<span title=${cause.causation_id}>a step of another story</span>`;
  return html`<a href=${linkTo(cause.position)} title=${cause.topic}>${cause.what || cause.topic}</a> <span class="faint">#${cause.position}</span>`;
}

function Step({ step, selected, linkTo, goTo }) {
  const item = useRef(null);
  useEffect(() => {
    if (!selected) return;
    item.current.scrollIntoView({ block: "center" });
    item.current.focus({ preventScroll: true });
  }, [selected]);
  return html`<li class="audit-step" ref=${item} id=${`step-${step.position}`} tabindex="-1" aria-current=${selected ? "true" : undefined}>
    <button class="linklike when" type="button" onClick=${goTo} title=${`${step.recorded_at}: take the view back to here`}>
      <time datetime=${step.recorded_at}>${clockSeconds(step.recorded_at)}</time></button>
    <div>
      <div class="row"><${Chip} look=${lookOf(step)} /><strong>${step.what}</strong></div>
      ${step.why && html`<p class="soft">Because: ${step.why}</p>`}
      <p class="small faint">by <span class="soft">${step.who}</span>, caused by <${Cause} cause=${step.caused_by} linkTo=${linkTo} /></p>
    </div>
    <a class="small faint position" href=${linkTo(step.position)} title=${step.topic}>#${step.position}</a>
  </li>`;
}

function Choice({ label, value, options, choose }) {
  return html`<select class="select inline" aria-label=${label} value=${value} onChange=${(chosen) => choose(chosen.target.value)}>
    <option value="">${label}: all</option>${options.map((option) => html`<option key=${option} value=${option}>${option}</option>`)}
  </select>`;
}

const distinct = (steps, of) => [...new Set(steps.map(of))].filter(Boolean).sort((a, b) => a.localeCompare(b, "en", { numeric: true }));

/**
 * `steps`: the whole story; those from `place` on are not shown. `selected`: the position of the step that is pointed
 * at; `asOf`: what the address says of the slider. `goTo(place)` moves the slider.
 */
export function Timeline({ id, steps, place, selected, asOf, goTo }) {
  const [wanted, setWanted] = useState("");
  const [who, setWho] = useState("");
  const [facility, setFacility] = useState("");
  const [most, setMost] = useState(PAGE);
  const places = useMemo(() => new Map(steps.map((step, n) => [step.position, n])), [steps]);
  const names = useMemo(() => ({ who: distinct(steps, (step) => step.who), facility: distinct(steps, (step) => step.facility_id) }), [steps]);
  useEffect(() => {
    if (!selected) return;
    setWanted("");
    setWho("");
    setFacility("");
  }, [selected]);
  const found = useMemo(() => {
    const text = wanted.toLowerCase();
    return steps
      .slice(0, place + 1)
      .filter((step) => (!who || step.who === who) && (!facility || step.facility_id === facility))
      .filter((step) => !text || `${step.what} ${step.why || ""} ${step.topic} ${step.who} #${step.position}`.toLowerCase().includes(text))
      .reverse();
  }, [steps, place, wanted, who, facility]);
  const needed = selected ? found.findIndex((step) => step.position === selected) + 10 : 0;
  const shown = found.slice(0, Math.max(most, needed));
  const linkTo = (position) => hrefTo("audit", id, { as_of: asOf, step: position });
  const isFiltered = wanted || who || facility;
  return html`<${Panel} title="Every step" flush note=${`${count(found.length)}${isFiltered || place + 1 < steps.length ? ` of ${count(steps.length)}` : ""}, the newest first`}>
    <div class="tools">
      <input class="input inline" type="search" placeholder="Filter" aria-label="Filter steps" value=${wanted} onInput=${(typed) => setWanted(typed.target.value)} />
      <${Choice} label="Who" value=${who} options=${names.who} choose=${setWho} />
      <${Choice} label="Facility" value=${facility} options=${names.facility} choose=${setFacility} />
    </div>
    ${shown.length
      ? html`<ol class="audit-steps" tabindex="0" aria-label="Steps, the newest first">
          ${shown.map((step, n) => {
            const date = day(step.recorded_at);
            return html`${(n === 0 || date !== day(shown[n - 1].recorded_at)) && html`<li class="day" key=${`day ${date}`}>${date}</li>`}
              <${Step} key=${step.position} step=${step} selected=${step.position === selected} linkTo=${linkTo} goTo=${() => goTo(places.get(step.position))} />`;
          })}
        </ol>`
      : html`<${Empty} title="No step matches.">Clear the filters, or move the slider on.</${Empty}>`}
    ${found.length > shown.length &&
    html`<p class="more"><button class="button small" type="button" onClick=${() => setMost(shown.length + PAGE * 2)}>Show ${count(Math.min(PAGE * 2, found.length - shown.length))} earlier steps</button></p>`}
  </${Panel}>`;
}
