// A form over one entry of a portfolio: begun with what is recorded, sent whole, refused field by field.
import { Problem, send } from "../../api.js";
import { Loaded, Panel, ProblemNote } from "../../components/parts.js";
import { html, useState } from "../../dom.js";
import { hrefTo } from "../../router.js";
import { sendable, useOnce, withValue } from "./fields.js";

function Form({ first, path, submit, children, saved }) {
  const [entry, setEntry] = useState(first);
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  const reasons = problem?.document.reasons || [];
  const form = {
    entry,
    set: (at, value) => setEntry((now) => withValue(now, at, value)),
    wrong: (name) => reasons.filter(({ field }) => field === name).map(({ detail }) => detail),
  };
  const save = async (submitted) => {
    submitted.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      saved(await send("POST", path, sendable(entry)), entry);
    } catch (error) {
      setProblem(error instanceof Problem ? error : new Problem(0, { title: "This went wrong", detail: error.message }));
    }
    setBusy(false);
  };
  return html`<form class="stack" noValidate onSubmit=${save}>
    ${children(form)}
    <${ProblemNote} problem=${problem} />
    <div class="row"><button class="button primary" type="submit" disabled=${busy}>${busy ? "Sending…" : submit}</button></div>
  </form>`;
}

/** `recorded`: the address of the recorded entry, null for a new one, which begins as `blank`. `children(form)` draws the fields. */
export function EntryForm({ title, recorded, blank, note, ...rest }) {
  const query = useOnce(recorded);
  return html`<div class="page">
    <div class="page-head"><div><p class="crumb"><a href=${hrefTo("setup")}>Setup</a></p><h1 tabindex="-1">${title}</h1>${note && html`<p class="lede">${note}</p>`}</div></div>
    <${Panel} title="As in a portfolio file" note="only what differs is recorded">
      <${Loaded} query=${query} height="30rem">${(entry) => html`<${Form} first=${entry || blank} ...${rest} />`}</${Loaded}>
    </${Panel}>
  </div>`;
}
