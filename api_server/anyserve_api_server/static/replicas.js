// The replicas, their pools and workers. Rows are kept and changed in place: what is open stays open.
import { Spark } from "./chart.js";
import { age, amount, count, duration, element, setText, size } from "./format.js";

const MANY = 12; // from so many replicas on, their pools are folded

const COLUMNS = [
  ["pool", "text"], ["state", "text"], ["workers", "text"], ["waiting", ""], ["running", ""], ["per s", ""],
  ["failed", ""], ["first response", ""], ["serves", "text"],
];

/** The list of replicas. */
export class Replicas {
  constructor(root, filter) {
    this.root = root;
    this.filter = filter;
    this.rows = new Map();
    filter.addEventListener("input", () => this.apply());
  }

  update(state) {
    const folded = state.replicas.length > MANY;
    this.filter.hidden = !folded && !this.filter.value;
    const present = new Set(state.replicas.map((replica) => replica.replica_id));
    for (const [id, row] of this.rows) {
      if (present.has(id)) continue;
      row.root.remove();
      this.rows.delete(id);
    }
    let before = null;
    for (const replica of state.replicas) {
      let row = this.rows.get(replica.replica_id);
      if (!row) this.rows.set(replica.replica_id, (row = new Replica(replica.replica_id, !folded)));
      row.update(replica, state.time);
      const next = before ? before.nextSibling : this.root.firstChild;
      if (next !== row.root) this.root.insertBefore(row.root, next);
      before = row.root;
    }
    this.apply();
  }

  apply() {
    const wanted = this.filter.value.trim().toLowerCase();
    for (const row of this.rows.values()) row.root.hidden = !row.words.includes(wanted);
  }
}

class Replica {
  constructor(id, open) {
    this.name = element("span", "name", id);
    this.where = element("span", "where mono");
    this.facts = element("span", "facts");
    this.spark = new Spark();
    this.body = element("tbody");
    this.pools = new Map();
    const titles = COLUMNS.map(([title, kind]) => element("th", kind, title));
    this.table = element("table", "", element("thead", "", element("tr", "", ...titles)), this.body);
    this.below = element("div", "pools", this.table);
    this.root = element("details", "replica",
      element("summary", "", element("span", "dot"), this.name, this.where, this.facts, this.spark.root), this.below);
    this.root.open = open;
    this.root.dataset.replica = id;
  }

  update(replica, time) {
    const { status } = replica;
    const draining = status?.draining || replica.capabilities === 0;
    this.root.dataset.state = status ? (draining ? "draining" : "ok") : "silent";
    setText(this.where, replica.endpoint);
    const pools = status?.pools ?? [];
    const rate = pools.reduce((sum, pool) => sum + pool.per_second, 0);
    this.spark.update(time, status ? rate : null);
    setText(this.facts, status ? this.describe(replica, rate, draining) : `does not answer: ${replica.error}`);
    this.facts.title = this.facts.textContent;
    this.below.hidden = pools.length === 0;
    this.updatePools(pools);
    this.words = [replica.replica_id, replica.endpoint, ...pools.flatMap((pool) => [pool.name, ...pool.capabilities])]
      .join(" ").toLowerCase();
  }

  describe(replica, rate, draining) {
    const { status } = replica;
    return [
      draining ? "draining" : "",
      `${amount(rate)}/s`,
      count(replica.capabilities, "capability", "capabilities"),
      status.pools.length ? "" : "no pools",
      status.more_pools ? `${status.more_pools} more pools` : "",
      size(status.resident_memory),
      `up ${age(status.uptime)}`,
      `v${status.version}`,
    ].filter(Boolean).join(" · ");
  }

  updatePools(pools) {
    const names = new Set(pools.map((pool) => pool.name));
    for (const [name, row] of this.pools) {
      if (names.has(name)) continue;
      row.remove();
      this.pools.delete(name);
    }
    for (const pool of pools) {
      let row = this.pools.get(pool.name);
      if (!row) {
        this.pools.set(pool.name, (row = new Pool(pool.name)));
        this.body.append(row.row, row.reason);
      }
      row.update(pool);
    }
  }
}

class Pool {
  constructor(name) {
    this.cells = Object.fromEntries(COLUMNS.map(([title, kind]) => [title, element("td", kind)]));
    this.cells.pool.append(element("span", "strong", name));
    this.pinned = element("span", "quiet");
    this.cells.pool.append(this.pinned);
    this.state = element("span", "state");
    this.cells.state.append(this.state);
    this.workers = element("span", "workers");
    this.cells.workers.append(this.workers);
    this.cells.serves.classList.add("serves");
    this.row = element("tr", "", ...Object.values(this.cells));
    this.why = element("td", "why");
    this.why.colSpan = COLUMNS.length;
    this.reason = element("tr", "", this.why);
  }

  remove() {
    this.row.remove();
    this.reason.remove();
  }

  update(pool) {
    const { cells } = this;
    setText(this.pinned, pool.pinned ? " pinned" : "");
    setText(this.state, pool.state);
    this.state.className = `state ${pool.state}`;
    this.row.title = pool.decision ? `${pool.decision} (${age(pool.decision_age)} ago)` : "";
    this.updateWorkers(pool);
    number(cells.waiting, pool.waiting, pool.waiting > 0 ? "hot" : "");
    cells.waiting.title = pool.waiting ? `the oldest for ${duration(pool.oldest_wait).join(" ")}` : "";
    number(cells.running, pool.running);
    number(cells["per s"], pool.per_second);
    number(cells.failed, pool.failed, pool.failed_per_second > 0 ? "failing" : "");
    setText(cells["first response"], duration(pool.latency).join(" "));
    cells["first response"].classList.toggle("zero", pool.latency === null);
    const more = pool.serves - pool.capabilities.length;
    const serves = pool.capabilities.join("  ") + (more > 0 ? `  and ${more} more` : "");
    setText(cells.serves, serves || "not known yet");
    cells.serves.title = serves;
    setText(this.why, pool.reason);
    this.reason.hidden = !(pool.state === "failed" && pool.reason);
  }

  updateWorkers(pool) {
    const { workers } = this;
    const shown = pool.workers.map((worker) => [worker.state, about(worker)]);
    while (workers.children.length > shown.length) workers.lastChild.remove();
    while (workers.children.length < shown.length) workers.append(element("i"));
    shown.forEach(([state, title], at) => {
      workers.children[at].className = state;
      workers.children[at].title = title;
    });
    const rest = pool.more_workers ? `+${pool.more_workers}` : shown.length ? "" : `0 of ${pool.max}`;
    if (rest) workers.append(element("i", "rest", rest));
  }
}

function about(worker) {
  const gpus = worker.gpus.length ? `, GPU ${worker.gpus.join(", ")}` : "";
  return `worker ${worker.id}: ${worker.state} for ${age(worker.state_age)}, ` +
    `${count(worker.requests, "request")} so far, ${size(worker.resident_memory)}${gpus}, pid ${worker.pid}`;
}

function number(cell, value, kind = "") {
  setText(cell, amount(value));
  cell.className = kind || (value === 0 ? "zero" : "");
}
