// A question before something is done: what will happen, a reason where one is recorded, and yes or no.
import { html, useLayoutEffect, useRef, useState } from "../dom.js";
import { Problem } from "../api.js";
import { ProblemNote, uniqueId } from "./parts.js";
import { toast } from "./toasts.js";

const WATCHED_MS = 30_000;

/** What was pressed may be gone, now or once what it did is told; who uses a keyboard then goes on from the view's head. */
function keepFocus() {
  const pressed = document.activeElement;
  const isLost = () => document.activeElement === document.body;
  // What was pressed may have been far below: who looks at it stays there.
  const toHead = () => document.querySelector("main h1")?.focus({ preventScroll: true });
  if (isLost()) return toHead();
  const watching = new MutationObserver(() => {
    if (pressed.isConnected) return;
    watching.disconnect();
    if (isLost()) toHead();
  });
  watching.observe(document.body, { childList: true, subtree: true });
  setTimeout(() => watching.disconnect(), WATCHED_MS);
}

/** A modal dialog; Escape and a press outside close it, unless it `stays`. The browser keeps the focus inside and gives it back. */
export function Dialog({ title, close: closed, stays = false, children }) {
  const close = () => !stays && closed();
  const dialog = useRef(null);
  const [titleId] = useState(() => uniqueId("dialog"));
  // Before the next frame: what is typed at once must find it open.
  useLayoutEffect(() => {
    const opened = dialog.current;
    const hadFocus = document.activeElement !== document.body;
    opened.showModal();
    return () => {
      opened.close();
      if (hadFocus) setTimeout(keepFocus);
    };
  }, []);
  // What had the focus may be disabled meanwhile: the focus must not be lost, nor Escape be heard by nobody but the browser.
  useLayoutEffect(() => stays && dialog.current.focus(), [stays]);
  const pressed = (press) => press.target === dialog.current && close();
  const typed = (key) => key.key === "Escape" && (key.preventDefault(), close());
  return html`<dialog class="dialog fade" ref=${dialog} tabindex="-1" closedby=${stays ? "none" : "closerequest"}
    aria-labelledby=${titleId} onKeyDown=${typed} onCancel=${(cancelled) => {
    cancelled.preventDefault();
    close();
  }} onClose=${() => dialog.current && (stays ? dialog.current.showModal() : close())} onMouseDown=${pressed}>
    <div class="dialog-head"><h2 id=${titleId}>${title}</h2></div>
    ${children}
  </dialog>`;
}

/**
 * Asks, and does it with `perform(reason)` (a promise) when it is confirmed. `consequence` says what will happen;
 * `reason`: the label of the reason, null where none is recorded. A refusal is shown in place, and it stays open.
 * While it is sent nothing closes it, so that a failure finds it there; one that comes after its view has gone is a toast.
 */
export function ConfirmDialog({ title, consequence, confirm, danger, reason = "Reason", hint, perform, close, done }) {
  const [text, setText] = useState("");
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState(null);
  const [reasonId] = useState(() => uniqueId("reason"));
  const isGone = useRef(false);
  useLayoutEffect(() => () => (isGone.current = true), []);
  const submit = async (submitted) => {
    submitted.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      const answer = await perform(text.trim());
      done?.(answer);
      close();
    } catch (error) {
      if (isGone.current) return toast(`${title}: ${error.message}`);
      setProblem(error instanceof Problem ? error : new Problem(0, { title: "This went wrong", detail: error.message }));
      setBusy(false);
    }
  };
  return html`<${Dialog} title=${title} close=${close} stays=${busy}>
    <form onSubmit=${submit}>
      <div class="dialog-body">
        <div class="soft">${consequence}</div>
        ${reason &&
        html`<div class="field">
          <label for=${reasonId}>${reason}</label>
          <textarea class="textarea" id=${reasonId} required maxlength="1000" value=${text} autofocus
            onInput=${(typed) => setText(typed.target.value)}></textarea>
          <span class="hint">${hint || "Recorded with your key in the audit trail."}</span>
        </div>`}
        <${ProblemNote} problem=${problem} />
      </div>
      <div class="dialog-foot">
        <button class="button" type="button" disabled=${busy} onClick=${close}>Keep as it is</button>
        <button class="button primary ${danger ? "danger" : ""}" type="submit" disabled=${busy || (reason && !text.trim())}>
          ${busy ? "Sending…" : confirm}
        </button>
      </div>
    </form>
  </${Dialog}>`;
}
