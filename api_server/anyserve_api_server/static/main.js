// The console: one stream of events from the server, and what is drawn of it.
import { Capabilities } from "./capabilities.js";
import { Chart, forget } from "./chart.js";
import { setText } from "./format.js";
import { Replicas } from "./replicas.js";
import { RequestForm } from "./request.js";

const RETRY = 2000; // milliseconds

const points = [];
const charts = [...document.querySelectorAll("[data-chart]")].map((figure) => new Chart(figure, points));
const replicas = new Replicas(document.getElementById("replicas"), document.getElementById("replica-filter"));
const form = new RequestForm(document.getElementById("request"));
const capabilities = new Capabilities(
  document.getElementById("capabilities"), document.getElementById("capability-filter"), (pairs) => form.choose(pairs));
const link = document.getElementById("link");

setText(document.getElementById("origin"), location.origin);
connect();

function connect() {
  const source = new EventSource("/console/state");
  source.addEventListener("history", (event) => {
    points.splice(0, points.length, ...JSON.parse(event.data).points);
    draw();
  });
  source.addEventListener("capabilities", (event) => {
    const state = JSON.parse(event.data);
    capabilities.update(state);
    show("capabilities", String(state.capabilities.length + state.more));
  });
  source.addEventListener("state", (event) => update(JSON.parse(event.data)));
  source.addEventListener("error", () => {
    // A browser that got an error status does not try again by itself.
    source.close();
    say("lost", "the server does not answer; trying again");
    setTimeout(connect, RETRY);
  });
}

function update(state) {
  points.push(state.point);
  forget(points);
  replicas.update(state);
  const { totals } = state;
  show("replicas", totals.answering + state.more === totals.replicas
    ? String(totals.replicas) : `${totals.answering} of ${totals.replicas}`, totals.answering + state.more < totals.replicas);
  show("pools", String(totals.pools));
  show("workers", totals.ready === totals.workers ? String(totals.workers) : `${totals.ready} of ${totals.workers}`);
  document.getElementById("no-replicas").hidden = totals.replicas > 0;
  const more = document.getElementById("more-replicas");
  more.hidden = state.more === 0;
  setText(more, `and ${state.more} more, which are not asked: /registry has them all`);
  say(...(state.connected ? ["live", "live"] : ["stale", "the registry does not answer; this is what was known"]));
  draw();
}

function draw() {
  if (document.visibilityState === "visible") for (const chart of charts) chart.draw();
}

function show(name, text, short = false) {
  const node = document.querySelector(`[data-count="${name}"]`);
  setText(node, text);
  node.classList.toggle("short", short);
}

function say(state, text) {
  link.dataset.state = state;
  setText(link.querySelector(".text"), text);
}
