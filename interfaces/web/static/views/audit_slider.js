// The slider over a DR event's story: each step of it is a place, and the last place is now.
import { Icon } from "../components/glyph.js";
import { html, useEffect, useMemo } from "../dom.js";
import { count, momentSeconds, span } from "../format.js";

const TICK_MS = 250;
const TICKS = 120;

/** The DR event's own steps that begin a phase: `[words, tone]`. */
const PHASES = {
  "dr-event.opened.v1": ["Notified", "idle"],
  "dr-event.accepted.v1": ["Accepted", "idle"],
  "dr-event.rejected.v1": ["Rejected", "bad"],
  "dr-event.scheduled.v1": ["Scheduled", "idle"],
  "dr-event.preparation-started.v1": ["Preparing", "busy"],
  "dr-event.started.v1": ["Active", "ok"],
  "dr-event.ended.v1": ["Recovering", "busy"],
  "dr-event.completed.v1": ["Completed", "ok"],
  "dr-event.cancelled.v1": ["Cancelled", "warn"],
  "dr-event.cancelled-while-active.v1": ["Cancelled", "warn"],
  "dr-event.measured.v2": ["Measured", "ok"],
  "dr-event.settled.v1": ["Settled", "ok"],
  "dr-event.resettled.v1": ["Resettled", "ok"],
};
/** How the description of a step begins that says that something cannot be said. */
const UNKNOWN = ["Not measurable", "Not settled"];

/** Where each phase begins: `{at, words, tone, length}`, in places of the slider. */
export function phasesOf(steps) {
  const found = steps.flatMap((step, at) => {
    const unknown = UNKNOWN.find((words) => step.what?.startsWith(words));
    const phase = unknown ? [unknown, "warn"] : PHASES[step.topic];
    return phase ? [{ at, words: phase[0], tone: phase[1] }] : [];
  });
  return found.map((phase, n) => ({ ...phase, length: (found[n + 1]?.at ?? steps.length) - phase.at }));
}

/** The last step at `asOf` (a position of the log, or a moment); the number of steps for now. */
export function placeOf(steps, asOf) {
  if (!asOf) return steps.length;
  const isPosition = /^\d+$/.test(asOf);
  const moment = Date.parse(asOf);
  if (!isPosition && Number.isNaN(moment)) return steps.length;
  const passed = isPosition ? (step) => step.position <= Number(asOf) : (step) => Date.parse(step.recorded_at) <= moment;
  return Math.max(0, steps.findLastIndex(passed));
}

/** What is wrong with `asOf` of an address, which then shows now or the first step; null: nothing. */
export function wrongMoment(steps, asOf) {
  if (!asOf) return null;
  const at = /^\d+$/.test(asOf) ? Number(asOf) : null;
  const moment = Date.parse(asOf);
  if (at === null && Number.isNaN(moment)) return `"${asOf}" is no position of the log and no time: now is shown.`;
  const [first, last] = [steps[0], steps.at(-1)];
  if (at === null) return moment < Date.parse(first.recorded_at) ? `Nothing was recorded before ${momentSeconds(first.recorded_at)}: the first step is shown.` : null;
  if (at > last.position) return `Position ${at} is beyond the last step, ${last.position}: that one is shown.`;
  return at < first.position ? `Position ${at} is before the first step, ${first.position}: that one is shown.` : null;
}

/** `+ 2 min` after the window's start, `− 4 min` before it. */
function fromStart(step, startsAt) {
  if (!startsAt) return null;
  const seconds = (Date.parse(step.recorded_at) - Date.parse(startsAt)) / 1000;
  return `${span(Math.abs(seconds))} ${seconds < 0 ? "before" : "after"} the window's start`;
}

/** Plays the story from `place` on, half a minute from end to end; waits for what it has asked for. */
function usePlaying({ playing, setPlaying, busy, place, last, move }) {
  useEffect(() => {
    if (!playing || busy) return undefined;
    if (place >= last) {
      setPlaying(false);
      return undefined;
    }
    const timer = setTimeout(() => move(Math.min(last, place + Math.ceil(last / TICKS))), TICK_MS);
    return () => clearTimeout(timer);
  }, [playing, busy, place, last]);
}

export function Slider({ steps, place, move, past, playing, setPlaying, startsAt }) {
  const last = steps.length;
  const isNow = place >= last;
  const step = isNow ? null : steps[place];
  const phases = useMemo(() => phasesOf(steps), [steps]);
  usePlaying({ playing, setPlaying, busy: past.busy, place, last, move });
  const to = (next) => {
    setPlaying(false);
    move(Math.max(0, Math.min(last, next)));
  };
  const play = () => {
    if (isNow && !playing) move(0);
    setPlaying(!playing);
  };
  const where = isNow ? `now, after all ${count(last)} steps` : `step ${place + 1} of ${last}, ${momentSeconds(step.recorded_at)}: ${step.what}`;
  return html`<div class="slider" data-now=${isNow ? "true" : "false"}>
    <div class="slider-head">
      <p class="slider-moment" id="slider-moment">${isNow ? "Now" : html`<time datetime=${step.recorded_at} title=${step.recorded_at}>${momentSeconds(step.recorded_at)}</time>`}
        <small class="faint">${isNow
          ? "live: it follows what is recorded"
          : [`step ${count(place + 1)} of ${count(last)}`, `position ${step.position}`, fromStart(step, startsAt)].filter(Boolean).join(" · ")}</small></p>
      <div class="actions">
        <button class="button small" type="button" aria-label="One step back" disabled=${place <= 0} onClick=${() => to(place - 1)}>‹</button>
        <button class="button small" type="button" aria-pressed=${String(playing)} onClick=${play}>${playing ? "Pause" : "Play"}</button>
        <button class="button small" type="button" aria-label="One step on" disabled=${isNow} onClick=${() => to(place + 1)}>›</button>
        <button class="button small ${isNow ? "" : "primary"}" type="button" disabled=${isNow} onClick=${() => to(last)}><${Icon} name="operations" />Now</button>
      </div>
    </div>
    <input class="slider-range" id="slider" type="range" min="0" max=${last} step="1" value=${place} aria-label="Moment of the DR event"
      aria-valuetext=${where} onInput=${(moved) => to(Number(moved.target.value))} />
    <div class="phases" role="group" aria-label="Go to the beginning of a phase" style=${{ gridTemplateColumns: phases.map(({ length }) => `minmax(1.1rem, ${length}fr)`).join(" ") }}>
      ${phases.map(
        ({ at, words, tone }) => html`<button type="button" key=${at} data-tone=${tone} data-passed=${place >= at ? "true" : "false"} title=${words}
          aria-label=${`${words}, from step ${at + 1}`} onClick=${() => to(at)}><span>${words}</span></button>`,
      )}
    </div>
  </div>`;
}
