// Every step of a DR event: who, what, why, and the step that caused it.
import { Chip, Empty, Panel } from "../components/parts.js";
import { Component, drawnAtOnce, html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../dom.js";
import { clockSeconds, count, day, readable, zoneName } from "../format.js";
import { hrefTo, setOption } from "../router.js";

const PAGE = 40;
const KINDS = { "dr-event": ["DR event", "busy", "square"], dispatch: ["dispatch", "idle", "dot"], facility: ["reservation", "idle", "ring"] };
const IS_BAD = /rejected|refused|failed|gave-up|undeliverable|blocked|drift|aborted|not-measurable/;
const IS_GOOD = /succeeded|restored|committed|completed|verified|measured|delivered/;

function lookOf({ topic }) {
  const [words, tone, shape] = KINDS[topic.split(".")[0]] || [topic, "idle", "ring"];
  if (IS_BAD.test(topic)) return { words, tone: "bad", shape: "cross" };
  return IS_GOOD.test(topic) ? { words, tone: "ok", shape: "check" } : { words, tone, shape };
}

/** Points at a step and leaves the slider where it is; in a tab of its own, the view is as of that step. */
function ToStep({ id, position, title, children, className = "" }) {
  const point = (pressed) => {
    if (pressed.ctrlKey || pressed.metaKey || pressed.shiftKey) return;
    pressed.preventDefault();
    setOption("step", position);
  };
  return html`<a class=${className} href=${hrefTo("audit", id, { as_of: position, step: position })} title=${title} onClick=${point}>${children}</a>`;
}

function Cause({ id, cause, step, trace }) {
  if (cause.kind === "command") {
    return html`a command${step.trace_id ? html`: <button class="linklike" type="button" title=${`Trace ${step.trace_id}`}
      onClick=${() => trace(step.trace_id)}>all that it led to</button>` : ""}`;
  }
  if (!cause.position) return html`<span title=${cause.causation_id}>a step of another story</span>`;
  return html`<${ToStep} id=${id} position=${cause.position} title=${cause.topic}>${readable(cause.what || cause.topic)}</${ToStep}> <span class="faint">#${cause.position}</span>`;
}

function Step({ id, step, place, selected, goTo, trace }) {
  const item = useRef(null);
  useEffect(() => {
    if (!selected) return;
    item.current.scrollIntoView({ block: "center" });
    item.current.focus({ preventScroll: true });
  }, [selected]);
  return html`<li class="audit-step" ref=${item} id=${`step-${step.position}`} tabindex="-1" aria-current=${selected ? "true" : undefined}>
    <button class="linklike when" type="button" onClick=${() => goTo(place)} title=${`${step.recorded_at}: take the view back to here`}>
      <time datetime=${step.recorded_at}>${clockSeconds(step.recorded_at)}</time></button>
    <div>
      <div class="row"><${Chip} look=${lookOf(step)} /><strong title=${step.what}>${readable(step.what)}</strong></div>
      ${step.why && html`<p class="soft" title=${step.why}>Because: ${readable(step.why)}</p>`}
      <p class="small faint">by <span class="soft">${step.who}</span>, caused by <${Cause} id=${id} cause=${step.caused_by} step=${step} trace=${trace} /></p>
    </div>
    <${ToStep} className="small faint position" id=${id} position=${step.position} title=${step.topic}>#${step.position}</${ToStep}>
  </li>`;
}

/** A step does not change: it is drawn once, and again only when it is pointed at, so that the slider moves lightly. */
class DrawnOnce extends Component {
  shouldComponentUpdate(next) {
    return ["step", "selected", "zone"].some((name) => next[name] !== this.props[name]);
  }

  render(properties) {
    return html`<${Step} ...${properties} />`;
  }
}

function Choice({ label, value, options, choose }) {
  return html`<select class="select inline" aria-label=${label} value=${value} onChange=${(chosen) => choose(chosen.target.value)}>
    <option value="">${label}: all</option>${options.map((option) => html`<option key=${option} value=${option}>${option}</option>`)}
  </select>`;
}

/** What the filter looks in: a step as it is recorded, and as it is shown. */
function searched({ what, why, topic, who, position, trace_id: trace }) {
  const recorded = `${what} ${why || ""}`;
  return `${recorded} ${readable(recorded)} ${topic} ${who} #${position} ${trace || ""}`.toLowerCase();
}

const distinct = (steps, of) => [...new Set(steps.map(of))].filter(Boolean).sort((a, b) => a.localeCompare(b, "en", { numeric: true }));

/**
 * `steps`: the whole story; those from `place` on are not shown. `selected`: the position of the step that is pointed
 * at. `goTo(place)` moves the slider.
 */
export function Timeline({ id, steps, place, selected, goTo }) {
  const [wanted, setWanted] = useState("");
  const [who, setWho] = useState("");
  const [facility, setFacility] = useState("");
  const [most, setMost] = useState(PAGE);
  // With the first steps: an effect comes some frames after them, and who printed before it had those alone.
  useLayoutEffect(() => {
    const whole = () => drawnAtOnce(() => setMost(Infinity)); // paper cannot be asked for more
    addEventListener("beforeprint", whole);
    return () => removeEventListener("beforeprint", whole);
  }, []);
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
      .filter((step) => !text || searched(step).includes(text))
      .reverse();
  }, [steps, place, wanted, who, facility]);
  const needed = selected ? found.findIndex((step) => step.position === selected) + 10 : 0;
  const shown = found.slice(0, Math.max(most, needed));
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
              <${DrawnOnce} key=${step.position} id=${id} step=${step} place=${places.get(step.position)} selected=${step.position === selected} zone=${zoneName()} goTo=${goTo} trace=${setWanted} />`;
          })}
        </ol>`
      : html`<${Empty} title="No step matches.">Clear the filters, or move the slider on.</${Empty}>`}
    ${found.length > shown.length &&
    html`<p class="more"><button class="button small" type="button" onClick=${() => setMost(shown.length + PAGE * 2)}>Show ${count(Math.min(PAGE * 2, found.length - shown.length))} earlier steps</button></p>`}
  </${Panel}>`;
}
