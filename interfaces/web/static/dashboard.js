"use strict";

// Everything shown is set as text, never as markup: ids and reasons come from outside.
const POLL_MS = 2000;
const KEY = "gridproof-key";
const el = (id) => document.getElementById(id);
let key = sessionStorage.getItem(KEY) || "";
let chosen = null;
let timer = null;

const GOOD = new Set(["completed", "restored", "full"]);
const BAD = new Set(["rejected", "failed", "restore_failed", "cancelled", "cancelled_while_active"]);

async function ask(path) {
  const answer = await fetch(path, { headers: { Authorization: "Bearer " + key }, cache: "no-store" });
  if (!answer.ok) {
    let detail = answer.statusText;
    try { detail = (await answer.json()).detail; } catch { /* no problem document: the status says it */ }
    const error = new Error(detail);
    error.status = answer.status;
    throw error;
  }
  return answer.json();
}

function node(tag, text, className) {
  const made = document.createElement(tag);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

const kw = (value) => value === null || value === undefined ? "–"
  : value.toLocaleString(undefined, { maximumFractionDigits: 1 });
const moment = (text) => text ? new Date(text).toLocaleString([], { dateStyle: "short", timeStyle: "short" }) : "–";
const tone = (status) => GOOD.has(status) ? "good" : BAD.has(status) ? "bad" : "busy";

function showPortfolio(row) {
  const figures = [
    ["available", kw(row.available_kw) + " kW"], ["reserved", kw(row.reserved_kw) + " kW"],
    ["withheld", kw(row.withheld_kw) + " kW"], ["committed", kw(row.committed_kw) + " kW"],
    ["delivering", kw(row.delivering_kw) + " kW"],
    ["facilities", row.active_facilities + " of " + row.registered_facilities],
    ["DR events open", row.open_dr_events], ["running now", row.active_dr_events],
  ];
  el("portfolio").replaceChildren(...figures.map(([name, value]) => {
    const pair = document.createElement("div");
    pair.append(node("dt", name), node("dd", String(value)));
    return pair;
  }));
}

function showAlerts(items) {
  el("alerts").replaceChildren(...(items.length ? items.map((alert) => {
    const line = document.createElement("li");
    line.append(node("b", alert.name, alert.severity === "warning" ? "busy" : "bad"),
      node("span", alert.subject + ": " + alert.detail), node("time", moment(alert.raised_at)));
    return line;
  }) : [node("li", "nothing to worry about", "empty")]));
}

function showDrEvents(items) {
  el("dr-events").replaceChildren(...items.map((row) => {
    const line = document.createElement("tr");
    const choose = node("button", row.utility_event_id);
    choose.type = "button";
    choose.addEventListener("click", () => { chosen = row.dr_event_id; refresh(); });
    const first = document.createElement("td");
    first.append(choose);
    line.append(first, node("td", row.utility_id), node("td", row.status, tone(row.status)),
      node("td", moment(row.starts_at) + " – " + moment(row.ends_at)), node("td", kw(row.target_kw), "number"),
      node("td", kw(row.delivered_kw), "number"), node("td", String(row.facility_ids.length), "number"),
      node("td", row.outcome || row.reasons.map((reason) => reason.code).join(", ") || "–"));
    return line;
  }));
}

function showDispatches(items) {
  el("detail").hidden = chosen === null;
  el("dispatches").replaceChildren(...items.map((row) => {
    const line = document.createElement("tr");
    line.append(node("td", row.facility_id), node("td", row.status, tone(row.status)),
      node("td", kw(row.target_kw), "number"), node("td", kw(row.delivered_kw), "number"),
      node("td", row.data_quality), node("td", row.failure || row.blocked_reason || ""));
    return line;
  }));
}

function say(text, isBad) {
  el("state").textContent = text;
  el("state").className = isBad ? "bad" : "";
}

async function refresh() {
  clearTimeout(timer);
  if (!key) return;
  try {
    const [portfolio, drEvents, alerts] = await Promise.all(
      [ask("/api/portfolio"), ask("/api/dr-events?limit=50"), ask("/api/alerts?limit=50")]);
    const dispatches = chosen === null ? { items: [] }
      : await ask("/api/dr-events/" + encodeURIComponent(chosen) + "/dispatches?limit=500");
    showPortfolio(portfolio);
    showDrEvents(drEvents.items);
    showAlerts(alerts.items);
    showDispatches(dispatches.items);
    el("board").hidden = false;
    say("Updated " + new Date().toLocaleTimeString(), false);
  } catch (error) {
    if (error.status === 401 || error.status === 403) { forget(error.message); return; }
    say("No answer: " + error.message + ". Trying again.", true);
  }
  timer = setTimeout(refresh, POLL_MS);
}

function forget(why) {
  clearTimeout(timer);
  key = "";
  chosen = null;
  sessionStorage.removeItem(KEY);
  el("board").hidden = true;
  say(why || "The key is forgotten.", Boolean(why));
}

el("key-form").addEventListener("submit", (submitted) => {
  submitted.preventDefault();
  key = el("key").value.trim();
  el("key").value = "";
  sessionStorage.setItem(KEY, key);
  refresh();
});
el("forget").addEventListener("click", () => forget(""));
refresh();
