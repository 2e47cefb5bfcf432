// The page: its bar, its views by the address, and what it says when it is offline or somebody must sign in.
import { connection } from "./api.js";
import { Banners } from "./components/banners.js";
import { TopBar } from "./components/top_bar.js";
import { Toasts } from "./components/toasts.js";
import { ProblemNote } from "./components/parts.js";
import { Problem } from "./api.js";
import { html, render, useEffect, useErrorBoundary, useMemo, useRef } from "./dom.js";
import { startLive } from "./live.js";
import { hrefTo, route } from "./router.js";
import { homeOf, resume, session } from "./session.js";
import { settings } from "./settings.js";
import { useStore } from "./store.js";
import { later } from "./views/later.js";
import { viewOf } from "./views/registry.js";

const SignIn = later("Sign in", () => import("./views/sign_in.js").then((file) => file.SignIn));

/** A fault in one view is shown in its place; the others stay reachable. */
function Guarded({ children }) {
  const [error, again] = useErrorBoundary();
  if (!error) return children;
  const problem = new Problem(0, { title: "This view has a fault", detail: error.message });
  return html`<div class="page"><${ProblemNote} problem=${problem} retry=${again} /></div>`;
}

function View() {
  const asked = useStore(route);
  const signedIn = useStore(session);
  const [home, its] = homeOf(signedIn);
  const at = asked.view ? asked : { ...asked, view: home, id: its };
  useStore(settings); // times are written anew when the zone changes
  const view = useMemo(() => viewOf(at, signedIn), [at.view, at.id, signedIn]);
  const main = useRef(null);
  const entered = useRef(false);
  useEffect(() => {
    document.title = `${at.id ? `${at.id} · ` : ""}${view.title} · Gridproof`;
    if (entered.current) {
      scrollTo(0, 0);
      main.current.querySelector("h1")?.focus({ preventScroll: true });
    }
    entered.current = true;
  }, [at.view, at.id]);
  return html`<main id="main" ref=${main} tabindex="-1">
    <${Guarded} key=${`${at.view}/${at.id}`}><${view.show} id=${at.id} options=${at.options} /></${Guarded}>
  </main>`;
}

function App() {
  const { phase, problem } = useStore(session);
  useStore(connection);
  if (phase === "signed-out") return html`<${Guarded}><${SignIn} /></${Guarded}>`;
  if (phase === "unknown") return html`<${Banners} /><main class="page" aria-busy="true"><p class="faint" role="status">Loading…</p>
    <${ProblemNote} problem=${problem} /></main>`;
  return html`
    <a class="skip" href=${route.get().hash || hrefTo(...homeOf())} onClick=${(pressed) => {
      pressed.preventDefault();
      document.getElementById("main").focus();
    }}>Skip to the content</a>
    <${TopBar} />
    <${Banners} />
    <${View} />
    <${Toasts} />`;
}

startLive();
render(html`<${App} />`, document.getElementById("app"));
resume();
