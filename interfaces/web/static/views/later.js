// A view whose files are fetched when it is first looked at: most people never open it.
import { ProblemNote, Skeleton } from "../components/parts.js";
import { html, useEffect, useState } from "../dom.js";

/**
 * `load()` gives the view (`import(...)`). One that cannot be fetched is a fault of the view, with a way to try again;
 * without a title it is a part of one, and says so in its place.
 */
export function later(title, load) {
  let View = null;
  return function Later(properties) {
    const [error, setError] = useState(null);
    const [, loaded] = useState(null);
    const Shown = View;
    useEffect(() => {
      if (Shown) return; // not View: it may have arrived since this was drawn
      load().then((found) => {
        View = found;
        loaded({});
      }, setError);
    }, []);
    if (error && title) throw error;
    if (Shown) return html`<${Shown} ...${properties} />`;
    if (!title) return error ? html`<${ProblemNote} problem=${{ document: { detail: error.message } }} />` : html`<${Skeleton} height="20rem" />`;
    return html`<div class="page"><div class="page-head"><h1 tabindex="-1">${title}</h1></div><${Skeleton} height="20rem" /></div>`;
  };
}
