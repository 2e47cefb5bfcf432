// Fields of a form over one entry: what is written in each, and what the API says about it beside it.
import { get, getAll } from "../../api.js";
import { html, useEffect, useState } from "../../dom.js";

const NUMBERS = new Set(
  ("latitude longitude curtailable_kw max_magnitude comfort_limit_c lower_comfort_limit_c minimum_off_s longest_curtailment_s rebound_ramp_s " +
    "dr_events_per_day dr_events_per_season longest_dr_event_s notification_lead_s rank maximum_lead_s prepare_lead_s minimum_duration_s " +
    "maximum_duration_s acceptable_share overlap_hours").split(" "),
);

/** The name of a field as a refusal names it: `zones[0].curtailable_kw`. */
export const nameOf = (path) => path.map((one, n) => (typeof one === "number" ? `[${one}]` : n ? `.${one}` : one)).join("");
export const valueAt = (entry, path) => path.reduce((value, name) => value?.[name], entry);

/** A copy of the entry with another value at that path. */
export function withValue(entry, [name, ...rest], value) {
  const copy = Array.isArray(entry) ? [...entry] : { ...entry };
  copy[name] = rest.length ? withValue(copy[name] ?? {}, rest, value) : value;
  return copy;
}

/** The entry as it is sent: numbers as numbers. What is none stays as it was typed, and the API refuses it by its name. */
export function sendable(value, name) {
  if (Array.isArray(value)) return value.map((one) => sendable(one));
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, sendable(one, key)]));
  return NUMBERS.has(name) && typeof value === "string" && !Number.isNaN(Number(value)) ? Number(value) : value;
}

/** Fetched once, from the server itself: a form must not begin with an answer that was kept. Null asks for nothing. */
export const useOnce = (path) => useFetched(path, get);
/** As `useOnce`: every item of a list. */
export const useAll = (path) => useFetched(path, getAll);

function useFetched(path, load) {
  const [state, setState] = useState({ data: path ? undefined : null, problem: null });
  useEffect(() => {
    if (!path) return undefined;
    const controller = new AbortController();
    load(path, { signal: controller.signal, anew: true }).then(
      (data) => setState({ data, problem: null }),
      (problem) => controller.signal.aborted || setState({ data: undefined, problem }),
    );
    return () => controller.abort();
  }, [path, load]);
  return state;
}

const asText = (value) => (Array.isArray(value) ? value.join(", ") : typeof value === "object" ? JSON.stringify(value) : String(value));
const written = {
  list: (text) => text.split(",").map((one) => one.trim()).filter(Boolean),
  json: (text) => {
    try {
      return JSON.parse(text);
    } catch {
      return text; // refused by the API as what it is
    }
  },
};

/** `form`: `{entry, set(path, value), wrong(name)}`; `kind`: text, number, list, json, select (with `options`) or check. */
export function Field({ form, path, label, kind = "text", hint, options, empty = null, whole = kind === "json", ...rest }) {
  const name = nameOf(path);
  const value = valueAt(form.entry, path);
  const [text, setText] = useState(value === null || value === undefined ? "" : asText(value));
  const wrong = form.wrong(name);
  const id = `field-${name.replace(/\W+/g, "-")}`;
  const common = { id, "aria-invalid": wrong.length ? "true" : undefined, "aria-describedby": `${id}-says`, ...rest };
  const typed = ({ target }) => {
    setText(target.value);
    form.set(path, target.value.trim() === "" ? (kind === "list" ? [] : empty) : (written[kind] || String)(target.value));
  };
  const says = html`<span id=${`${id}-says`}>${wrong.map((one) => html`<span class="wrong block">${one}</span>`)}${hint && html`<span class="hint">${hint}</span>`}</span>`;
  if (kind === "check") {
    return html`<div class="field"><label class="row" for=${id}><input type="checkbox" checked=${value} onChange=${({ target }) => form.set(path, target.checked)} ...${common} />${label}</label>${says}</div>`;
  }
  let input = html`<input class="input" type=${kind === "number" ? "number" : "text"} step=${kind === "number" ? "any" : undefined} autocomplete="off" value=${text} onInput=${typed} ...${common} />`;
  if (kind === "select") {
    input = html`<select class="select" value=${value ?? ""} onChange=${({ target }) => form.set(path, target.value || empty)} ...${common}>
      ${options.map(([one, words]) => html`<option key=${one} value=${one}>${words}</option>`)}</select>`;
  }
  if (kind === "json") input = html`<textarea class="textarea" spellcheck="false" value=${text} onInput=${typed} ...${common}></textarea>`;
  return html`<div class="field ${whole ? "whole" : ""}"><label for=${id}>${label}</label>${input}${says}</div>`;
}

/** The facilities that there are, offered by an input whose `list` is that id. */
export function FacilityNames({ id }) {
  const { data } = useOnce("/api/facilities?limit=500");
  return html`<datalist id=${id}>${(data?.items || []).map(({ facility_id: one }) => html`<option key=${one} value=${one}></option>`)}</datalist>`;
}

/** Fields as `[name, label, kind, hint]`, all below the same path. */
export const Fields = ({ form, of, at = [] }) => of.map(([name, label, kind, hint]) => html`<${Field} key=${name} form=${form} path=${[...at, name]} label=${label} kind=${kind} hint=${hint} />`);

export const Group = ({ title, children }) => html`<fieldset class="form-group"><legend>${title}</legend><div class="form">${children}</div></fieldset>`;
