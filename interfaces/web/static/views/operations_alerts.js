// Open alerts with their runbooks; a person acknowledges one, or ends it by hand.
import { send } from "../api.js";
import { About } from "../components/about.js";
import { ConfirmDialog } from "../components/dialog.js";
import { Chip, Empty } from "../components/parts.js";
import { Table } from "../components/table.js";
import { toast } from "../components/toasts.js";
import { html, useMemo, useState } from "../dom.js";
import { momentSeconds, readable, sentence } from "../format.js";
import { refetch } from "../query.js";
import { may } from "../session.js";

const RANK = { page: 0, critical: 1, warning: 2 };
const QUESTIONS = {
  acknowledgement: {
    title: "Acknowledge the alert?",
    consequence: "It stays open until it is over. Nobody else is told about it.",
    confirm: "Acknowledge it",
    done: "Acknowledged.",
  },
  clear: {
    title: "End the alert by hand?",
    consequence: "It is for an alert that cannot know that it is over. If what raised it lasts, it is raised again.",
    confirm: "End it",
    danger: true,
    done: "Ended.",
  },
};

function columnsOf(ask) {
  const button = (one, kind, words) => html`<button class="button small" type="button" aria-label=${`${words} the alert ${sentence(one.name)} about ${one.subject}`} onClick=${() => ask({ kind, alert: one })}>${words}…</button>`;
  return [
    { id: "severity", label: "Severity", fit: true, sort: (one) => RANK[one.severity], cell: (one) => html`<${Chip} kind="severity" state=${one.severity} />` },
    {
      id: "name",
      label: "Alert",
      header: true,
      sort: (one) => one.name,
      cell: (one) => html`${sentence(one.name)} <a class="small block" href=${`/runbooks/${one.name}`} target="_blank" rel="noopener"
        aria-label=${`Runbook of ${sentence(one.name)}, in a new tab`}>Runbook</a>`,
    },
    {
      id: "subject",
      label: "About",
      sort: (one) => one.subject,
      wrap: true,
      value: (one) => `${one.subject}: ${one.detail}`,
      cell: (one) => html`<${About} alert=${one} />: <span title=${one.detail}>${readable(one.detail)}</span>
        ${one.acknowledged_at && html`<span class="small faint block">${one.acknowledged_by}: ${one.acknowledgement}</span>`}`,
    },
    { id: "raised", label: "Raised", sort: (one) => one.raised_at, cell: (one) => html`<span class="nowrap">${momentSeconds(one.raised_at)}</span>` },
    ...(may("operations") ? [{
      id: "act",
      label: html`<span class="visually-hidden">Actions</span>`,
      fit: true,
      cell: (one) => html`<span class="buttons">${!one.acknowledged_at && button(one, "acknowledgement", "Acknowledge")}${button(one, "clear", "End")}</span>`,
    }] : []),
  ];
}

const alertText = (one) => `${one.name} ${one.subject} ${one.severity} ${one.detail}`;

function Question({ asked: { kind, alert }, close }) {
  const { done, ...words } = QUESTIONS[kind];
  const finished = () => {
    toast(done);
    refetch("/api/alerts");
    refetch("/api/operations");
  };
  const perform = (reason) => send("POST", `/api/alerts/${alert.alert_id}/${kind}`, { reason });
  const about = html`<p>${words.consequence}</p><p><strong>${sentence(alert.name)}</strong>, ${alert.subject}: ${readable(alert.detail)}</p>`;
  return html`<${ConfirmDialog} ...${words} consequence=${about} hint="Kept with the alert and your key." perform=${perform} close=${close} done=${finished} />`;
}

export function Alerts({ rows }) {
  const [asked, ask] = useState(null);
  const columns = useMemo(() => columnsOf(ask), []);
  if (!rows.length) return html`<${Empty} title="Nothing to worry about">No alert is open.</${Empty}>`;
  return html`<${Table} caption="Open alerts" columns=${columns} rows=${rows} rowKey=${(one) => `${one.name} ${one.subject}`} first="severity" text=${alertText} tall download="alerts" />
    ${asked && html`<${Question} asked=${asked} close=${() => ask(null)} />`}`;
}
