// The fields of a what-if, and the question that they ask.
import { uniqueId } from "../../components/parts.js";
import { html, useState } from "../../dom.js";

const RULES = [["same", "As agreed"], ["version", "Of another version of the program"], ["text", "As JSON"]];
const METHODS = ["caiso-10-in-10", "high-4-of-5", "high-5-of-10", "mid-8-of-10", "x-of-y", "meter-before-meter-after", "firm-service-level"];
const PARAMETERS = {
  "x-of-y": [["x", "Days that count", 5], ["y", "Days looked at", 10]],
  "meter-before-meter-after": [["before_s", "Seconds before the start", 3600]],
  "firm-service-level": [["level_kw", "Level, kW", ""]],
};
const MOST_SUGGESTED = 500;

const parsed = (text) => {
  try {
    const rule = JSON.parse(text);
    return rule && typeof rule === "object" && !Array.isArray(rule) ? { rule } : { wrong: "The rule is not a JSON object." };
  } catch (error) {
    return { wrong: `The rule is no JSON: ${error.message}` };
  }
};

function baselineOf({ method, parameters }) {
  if (!method) return {};
  const found = {};
  for (const [name, label, otherwise] of PARAMETERS[method] || []) {
    const text = String(parameters[name] ?? otherwise).trim();
    if (text === "") continue; // a facility may have a level of its own
    if (!Number.isFinite(Number(text))) return { wrong: `${label}: ${text} is no number.` };
    found[name] = Number(text);
  }
  return { baseline: { method, parameters: found } };
}

/** `body` to be sent, or what is `wrong` with the form: `{field, text}`. */
export function questionOf(form) {
  const body = {};
  if (form.kind === "version") {
    const version = Number(form.version);
    if (!Number.isInteger(version) || version < 1) return { wrong: { field: "rule", text: "Give the number of a version, such as 2." } };
    body.program_version = version;
  }
  if (form.kind === "text") {
    const { rule, wrong } = parsed(form.text);
    if (wrong) return { wrong: { field: "rule", text: wrong } };
    body.rule = rule;
  }
  const { baseline, wrong } = baselineOf(form);
  if (wrong) return { wrong: { field: "baseline", text: wrong } };
  if (baseline) body.baseline = baseline;
  if (form.without.length) body.without = form.without;
  if (!Object.keys(body).length) return { wrong: { field: "form", text: "Choose what is to be different: the rule, the baseline, or a facility to leave out." } };
  return { body };
}

const useId = (prefix) => useState(() => uniqueId(prefix))[0];

/** A label, its control (`control(id, describedBy)`), a hint, and what is wrong. */
function Field({ label, hint, wrong, control }) {
  const id = useId("what-if");
  const about = `${id}-about`;
  return html`<div class="field">
    <label for=${id}>${label}</label>
    ${control({ id, "aria-describedby": hint || wrong ? about : undefined, "aria-invalid": wrong ? "true" : undefined })}
    ${(hint || wrong) && html`<span id=${about} class=${wrong ? "wrong" : "hint"} role=${wrong ? "alert" : undefined}>${wrong || hint}</span>`}
  </div>`;
}

export function Rule({ form, change, wrong }) {
  return html`<div class="span-5"><div class="stack">
    <${Field} label="Rule" control=${(given) => html`<select class="select" ...${given} value=${form.kind} onChange=${({ target }) => change({ kind: target.value })}>
      ${RULES.map(([value, name]) => html`<option key=${value} value=${value}>${name}</option>`)}</select>`} />
    ${form.kind === "version" && html`<${Field} label="Version" wrong=${wrong} hint="The rule of that version; nothing else of it applies."
      control=${(given) => html`<input class="input" ...${given} inputmode="numeric" autocomplete="off" value=${form.version} onInput=${({ target }) => change({ version: target.value })} />`} />`}
    ${form.kind === "text" && html`<${Field} label="Rule as JSON" wrong=${wrong} hint="settlement-rule/1, at most 64 kB."
      control=${(given) => html`<textarea class="textarea" ...${given} rows="8" spellcheck="false" value=${form.text} onInput=${({ target }) => change({ text: target.value })}></textarea>`} />`}
  </div></div>`;
}

export function Baseline({ form, change, wrong }) {
  const set = (name) => ({ target }) => change({ parameters: { ...form.parameters, [name]: target.value } });
  return html`<div class="span-3"><div class="stack">
    <${Field} label="Baseline" wrong=${wrong} hint="Measured again on the readings as they are now."
      control=${(given) => html`<select class="select" ...${given} value=${form.method} onChange=${({ target }) => change({ method: target.value, parameters: {} })}>
      <option value="">As measured</option>${METHODS.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}</select>`} />
    ${(PARAMETERS[form.method] || []).map(([name, label, otherwise]) => html`<${Field} key=${form.method + name} label=${label}
      hint=${name === "level_kw" ? "A facility’s own level goes before it." : ""}
      control=${(given) => html`<input class="input" ...${given} inputmode="decimal" autocomplete="off" value=${form.parameters[name] ?? otherwise} onInput=${set(name)} />`} />`)}
  </div></div>`;
}

export function Without({ form, change, facilities }) {
  const [typed, setTyped] = useState("");
  const listId = useId("facilities");
  const left = facilities.filter((one) => !form.without.includes(one));
  const take = (name) => {
    if (!left.includes(name)) return false;
    change({ without: [...form.without, name].sort() });
    setTyped("");
    return true;
  };
  const isUnknown = typed && !left.some((one) => one.startsWith(typed));
  // What is chosen from the list comes at once; what is typed may go on: fac-1 is the beginning of fac-10.
  const entered = ({ target, inputType }) => (inputType && inputType !== "insertReplacementText") || !take(target.value) ? setTyped(target.value) : null;
  return html`<div class="span-4"><div class="stack">
    <${Field} label="Without a facility" wrong=${isUnknown && `There is no facility ${typed} to leave out.`} hint="Choose a name; several may be left out. The others stay as they are."
      control=${(given) => html`<input class="input" ...${given} list=${listId} autocomplete="off" value=${typed}
        onKeyDown=${(key) => key.key === "Enter" && typed && (key.preventDefault(), take(typed.trim()))} onInput=${entered} />`} />
    <datalist id=${listId}>${left.slice(0, MOST_SUGGESTED).map((one) => html`<option key=${one} value=${one}></option>`)}</datalist>
    ${typed && html`<div><button class="button small" type="button" disabled=${!left.includes(typed.trim())} onClick=${() => take(typed.trim())}>Leave it out</button></div>`}
    ${form.without.length > 0 && html`<ul class="row" aria-label="Left out">${form.without.map((one) => html`<li key=${one}>
      <button class="button small" type="button" aria-label=${`Keep ${one}`} onClick=${() => change({ without: form.without.filter((other) => other !== one) })}>${one} ×</button></li>`)}</ul>`}
  </div></div>`;
}
