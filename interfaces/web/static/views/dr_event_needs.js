// What a person must do now about a DR event: approve blocked facilities, look after buildings that are not restored.
import { Problem, send } from "../api.js";
import { ConfirmDialog } from "../components/dialog.js";
import { NeedsBanner } from "../components/needs.js";
import { toast } from "../components/toasts.js";
import { html, useRef, useState } from "../dom.js";
import { facilities } from "../format.js";
import { refetch } from "../query.js";

const MOST_NAMED = 3;
const named = (parts) => {
  const ids = parts.slice(0, MOST_NAMED).map((part) => part.facility_id).join(", ");
  return parts.length > MOST_NAMED ? `${ids} and ${parts.length - MOST_NAMED} more` : ids;
};

/** `approve(facilityIds)` asks for a reason for all of them. */
export function Needs({ parts, approve }) {
  const blocked = parts.filter((part) => part.status === "blocked");
  const failing = parts.filter((part) => part.status === "restore_failed" || part.restore_trouble);
  return html`
    ${failing.length > 0 && html`<${NeedsBanner} tone="bad"><strong>${facilities(failing.length)} not restored:</strong> ${named(failing)}.
      Have the building set back by hand, then say so below with “Restored…”.</${NeedsBanner}>`}
    ${blocked.length > 0 && html`<${NeedsBanner} tone="warn" action=${html`<button class="button" type="button" onClick=${() => approve(blocked.map((part) => part.facility_id))}>${blocked.length === 1 ? "Approve…" : "Approve all blocked…"}</button>`}>
      <strong>${facilities(blocked.length)} blocked:</strong> ${named(blocked)}. A degraded forecast keeps ${blocked.length === 1 ? "it" : "them"} out until you approve.</${NeedsBanner}>`}`;
}

/** One reason for all; each is approved by itself, so that one that is refused keeps no other back. */
export function ApproveAll({ row, blocked, close }) {
  const left = useRef(blocked);
  const [done, setDone] = useState(0);
  const perform = async (reason) => {
    const refused = [];
    for (const id of left.current) {
      try {
        await send("POST", `/api/dr-events/${row.dr_event_id}/overrides`, { facility_id: id, reason });
        setDone((number) => number + 1);
      } catch (error) {
        refused.push({ facility_id: id, detail: error.message });
      }
    }
    left.current = refused.map((one) => one.facility_id);
    refetch(`/api/dr-events/${row.dr_event_id}`);
    if (refused.length) throw new Problem(0, { title: `Not approved: ${refused.length} of ${blocked.length}`, reasons: refused });
  };
  const consequence = html`<p>Their forecasts are degraded. With your approval each takes part in ${row.utility_event_id} as planned, and the audit trail says that you answer for it.</p>
    <p class="names">${blocked.join(", ")}</p>
    <p role="status">${done > 0 ? `Approved: ${done} of ${blocked.length}` : ""}</p>`;
  return html`<${ConfirmDialog} title=${`Approve ${facilities(blocked.length)} in spite of their forecasts?`} consequence=${consequence} confirm="Approve all"
    perform=${perform} close=${close} done=${() => toast(`${facilities(blocked.length)} approved.`)} />`;
}
