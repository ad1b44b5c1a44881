// Shows /v1/stats, /v1/purges and /v1/warm, anew every two seconds. What came from
// outside goes into the page as text only.
"use strict";

const $ = id => document.getElementById(id);
const number = n => n.toLocaleString("en");

function size(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let u = 0;
  while (n >= 1024 && u < units.length - 1) { n /= 1024; u++; }
  return (u ? n.toFixed(1) : n) + " " + units[u];
}

function span(s) {
  if (s < 120) return Math.floor(s) + " s";
  if (s < 7200) return Math.floor(s / 60) + " min";
  if (s < 172800) return Math.floor(s / 3600) + " h";
  return Math.floor(s / 86400) + " d";
}

function rate(s) {
  const all = s.hits + s.stale + s.misses + s.revalidated;
  return all ? (100 * (s.hits + s.stale) / all).toFixed(1) + " %" : "–";
}

function when(at) {
  const d = new Date(at);
  return d.toDateString() === new Date().toDateString() ? d.toLocaleTimeString() : d.toLocaleString();
}

// Of a row, the cells of columns whose head has the class are numbers.
function row(cells, table) {
  const tr = document.createElement("tr"), heads = $(table).previousElementSibling.rows[0].cells;
  for (const [i, c] of cells.entries()) {
    const td = document.createElement("td");
    td.append(c); // a string becomes text
    td.className = heads[i].className;
    tr.append(td);
  }
  return tr;
}

function tile(label, value, kind) {
  const div = document.createElement("div");
  div.className = "tile " + (kind || "");
  const b = document.createElement("b"), s = document.createElement("span");
  b.textContent = value;
  s.textContent = label;
  div.append(b, s);
  return div;
}

function some(names, more) {
  const shown = names.slice(0, 4);
  more = (more || 0) + names.length - shown.length;
  return shown.join(", ") + (more ? ` and ${more} more` : "");
}

function ms(n) { return n ? (n < 10 ? n.toFixed(1) : number(Math.round(n))) + " ms" : ""; }

function bar(r) {
  const out = document.createDocumentFragment(), p = document.createElement("progress");
  p.max = Math.max(r.total, 1);
  p.value = r.done;
  p.setAttribute("aria-label", "done");
  out.append(p, `${number(r.done)} of ${number(r.total)}`);
  return out;
}

// What a run was asked for, which may be long, and below it what it waits for.
function named(r) {
  const span = document.createElement("span"), small = document.createElement("small");
  const text = r.kind + " " + (r.what || r.id);
  span.append(text.length > 80 ? text.slice(0, 79) + "…" : text);
  span.title = [r.id, r.what, r.by].filter(Boolean).join(", ");
  small.append(waits(r));
  if (small.textContent) span.append(small);
  return span;
}

const obstacles = { "down": "the origin is down", "resting": "the origin rests", "visitors first": "visitors come first" };

function waits(r) {
  const all = (r.waits || []).map(w => `${w.site}: ${obstacles[w.for] || w.for}` + (w.next_s ? `, next try in ${w.next_s} s` : ""));
  if (r.trouble && all.length) all.push(r.trouble.why);
  return all.length ? "waits: " + all.join("; ") : "";
}

// Runs under way, and after them some that were begun last.
function showWarming(w, runs) {
  const paces = (w.sites || []).filter(x => x.under_way || x.lately_ms || x.failed);
  const ever = w.warmed + w.fresh + w.unkept + w.failed + w.queue.queued;
  $("cold").hidden = !!(ever || runs.length);
  $("warming").hidden = !$("cold").hidden;
  $("warmed").replaceChildren(
    tile("pages warmed", number(w.warmed)),
    tile("warmed pages asked for", number(w.used), "rate"),
    tile("warmed in vain", number(w.unused)),
    tile("failed", number(w.failed)),
    tile("wait to be warmed", number(w.queue.queued + w.queue.taken)),
    tile("found no room", number(w.queue.dropped)));
  $("runs-box").hidden = !runs.length;
  $("runs").replaceChildren(...runs.map(r => row([named(r), bar(r), r.state, number(r.fresh), number(r.unkept), number(r.failed + r.dropped),
    r.rate.toFixed(1), r.remaining ? number(r.remaining) + (r.eta_s === undefined ? "" : ", " + span(r.eta_s)) : ""], "runs")));
  $("paces-box").hidden = !paces.length;
  $("paces").replaceChildren(...paces.map(x => row([x.site, x.state, number(x.under_way), number(x.window),
    ms(x.lately_ms), ms(x.usual_ms), ms(x.visitor_ms)], "paces")));
}

async function askRuns() {
  try {
    const [now, last] = await Promise.all([ask("/v1/warm?under_way=true&limit=20"), ask("/v1/warm?limit=5")]);
    return now.runs.concat(last.runs.filter(r => !now.runs.some(x => x.id === r.id)));
  } catch (e) {
    if (e === "token") throw e;
    return []; // the queue does not answer; the rest of the page does without
  }
}

async function ask(path) {
  const token = sessionStorage.getItem("token");
  const r = await fetch(path, token ? { headers: { Authorization: "Bearer " + token } } : {});
  if (r.status === 401) throw "token";
  if (!r.ok) throw `${path} answered ${r.status}`;
  return r.json();
}

async function show() {
  try {
    const [s, p, runs] = await Promise.all([ask("/v1/stats"), ask("/v1/purges?limit=20"), askRuns()]);
    $("login").hidden = true;
    $("links").hidden = !!sessionStorage.getItem("token"); // a link carries no token
    document.querySelector("main").hidden = false;
    $("state").textContent = (s.draining ? "draining, " : "") + "up " + span(s.uptime_s);
    $("tiles").replaceChildren(
      tile("hit rate", rate(s.total), "rate"),
      tile("hits, stale included", number(s.total.hits + s.total.stale)),
      tile("misses", number(s.total.misses)),
      tile("invalidations", number(s.invalidations.purges)),
      tile("entries", number(s.store.entries)),
      tile("of " + size(s.store.capacity), size(s.store.bytes)));
    $("sites").replaceChildren(...s.sites.map(x => row([x.site, rate(x), number(x.hits), number(x.stale), number(x.misses),
      number(x.collapsed), number(x.revalidated), number(x.passed), number(x.fetch_errors), size(x.sent_bytes)], "sites")));
    $("fleet").hidden = !s.fleet;
    if (s.fleet) $("nodes").replaceChildren(...Object.entries(s.fleet.nodes).sort().map(([name, x]) => row([name, rate(x.total),
      number(x.purges), number(x.heard), x.hears ? "" : "deaf"], "nodes")));
    showWarming(s.warming, runs);
    $("purges").replaceChildren(...p.purges.map(x => row([when(x.at), some(x.asked, x.asked_more),
      some(x.expanded, x.expanded_more), x.mode, (x.exact ? "" : "at most ") + number(x.entries), x.took_ms + " ms", x.by || ""], "purges")));
  } catch (e) {
    if (e === "token") {
      $("login").hidden = false;
      document.querySelector("main").hidden = $("links").hidden = true;
      $("state").textContent = "";
      return;
    }
    $("state").textContent = "no answer: " + e;
  }
}

$("login").addEventListener("submit", e => {
  e.preventDefault();
  sessionStorage.setItem("token", $("token").value);
  show();
});
show();
setInterval(() => { if (!document.hidden && $("login").hidden) show(); }, 2000);
