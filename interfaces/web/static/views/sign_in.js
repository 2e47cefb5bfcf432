// The door: an API key for a short-lived session.
import { Problem } from "../api.js";
import { Banners } from "../components/banners.js";
import { Icon } from "../components/glyph.js";
import { ProblemNote } from "../components/parts.js";
import { html, useEffect, useState } from "../dom.js";
import { session, signIn } from "../session.js";
import { useStore } from "../store.js";

export function SignIn() {
  const { why } = useStore(session);
  const [key, setKey] = useState("");
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState(null);
  useEffect(() => {
    document.title = "Sign in · Gridproof";
  }, []);
  const submit = async (submitted) => {
    submitted.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      await signIn(key.trim());
    } catch (error) {
      setProblem(error instanceof Problem ? error : new Problem(0, { title: "This went wrong", detail: error.message }));
      setBusy(false);
    }
  };
  return html`<${Banners} /><main class="sign-in" id="main">
    <form class="panel" onSubmit=${submit} autocomplete="off">
      <div class="brand"><${Icon} name="mark" size="28" />Gridproof</div>
      <div>
        <h1>Sign in</h1>
        <p class="soft">Demand response that can be proven.</p>
      </div>
      ${why && html`<p class="toned" data-tone="warn" role="status">${why}</p>`}
      <div class="field">
        <label for="key">API key</label>
        <input class="input mono" id="key" type="password" placeholder="gpk_…" autocomplete="off" spellcheck="false" required autofocus
          value=${key} onInput=${(typed) => setKey(typed.target.value)} />
        <span class="hint">Exchanged for a session of a few hours; the page keeps no key.</span>
      </div>
      <${ProblemNote} problem=${problem} />
      <button class="button primary" type="submit" disabled=${busy || !key.trim()}>${busy ? "Signing in…" : "Sign in"}</button>
      <p class="small faint">An administrator makes keys with <code>gridproof keys create --role dashboard</code>;
        the first key is in the file <code>admin.key</code> of the data folder.</p>
    </form>
  </main>`;
}
