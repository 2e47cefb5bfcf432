// A view whose files are fetched when it is first looked at: most people never open it.
import { Skeleton } from "../components/parts.js";
import { html, useEffect, useState } from "../dom.js";

/** `load()` gives the view (`import(...)`). One that cannot be fetched is a fault of the view, with a way to try again. */
export function later(title, load) {
  let View = null;
  return function Later(properties) {
    const [error, setError] = useState(null);
    const [, loaded] = useState(null);
    useEffect(() => {
      if (View) return;
      load().then((found) => {
        View = found;
        loaded({});
      }, setError);
    }, []);
    if (error) throw error;
    if (View) return html`<${View} ...${properties} />`;
    return html`<div class="page"><div class="page-head"><h1 tabindex="-1">${title}</h1></div><${Skeleton} height="20rem" /></div>`;
  };
}
