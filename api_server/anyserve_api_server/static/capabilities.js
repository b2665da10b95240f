// What the fleet offers; a click takes it into the form.
import { count, element, setText } from "./format.js";

const MANY = 10; // from so many on there is a filter
const FIRST = ["type", "model", "version"];

/** The list of capabilities. Calls `choose(pairs)` when one is clicked. */
export class Capabilities {
  constructor(root, filter, choose) {
    this.root = root;
    this.filter = filter;
    this.choose = choose;
    filter.addEventListener("input", () => this.apply());
  }

  update({ capabilities, more }) {
    this.filter.hidden = capabilities.length <= MANY && !this.filter.value;
    this.root.replaceChildren(...capabilities.map((capability) => this.row(capability)));
    document.getElementById("no-capabilities").hidden = capabilities.length > 0;
    const rest = document.getElementById("more-capabilities");
    rest.hidden = more === 0;
    setText(rest, `and ${more} more: /registry has them all`);
    this.apply();
  }

  row({ pairs, replicas, count: offered }) {
    const shown = inOrder(pairs).flatMap(([key, value], at) =>
      [at ? " " : "", element("span", "key", `${key}=`), value]);
    const by = offered === 1 ? replicas[0] : count(offered, "replica");
    const button = element("button", "", element("span", "pairs mono", ...shown), element("span", "by", by));
    button.type = "button";
    button.title = `offered by ${replicas.join(", ")}${offered > replicas.length ? " and others" : ""}`;
    button.addEventListener("click", () => this.choose(pairs));
    return element("li", "", button);
  }

  apply() {
    const wanted = this.filter.value.trim().toLowerCase();
    for (const row of this.root.children) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  }
}

/** The pairs, those first that say most. */
function inOrder(pairs) {
  const rank = (key) => (FIRST.includes(key) ? FIRST.indexOf(key) : FIRST.length);
  return Object.entries(pairs).sort(([one], [other]) => rank(one) - rank(other));
}

/** Pairs as they are typed: key=value, with quotes around values that have spaces. */
export function write(pairs) {
  return inOrder(pairs)
    .map(([key, value]) => `${key}=${/[\s"]/.test(value) || value === "" ? JSON.stringify(value) : value}`)
    .join(" ");
}

/** The pairs of such a text; throws an error that says what is wrong. */
export function read(text) {
  const pairs = {};
  let rest = text.trim();
  while (rest) {
    const found = rest.match(/^([^\s=]+)=("(?:[^"\\]|\\.)*"|[^\s"]*)(?:\s+|$)/);
    if (!found) throw new Error(`'${rest}' is not KEY=VALUE`);
    pairs[found[1]] = found[2].startsWith('"') ? JSON.parse(found[2]) : found[2];
    rest = rest.slice(found[0].length);
  }
  if (!Object.keys(pairs).length) throw new Error("say which capability, such as type=chat");
  return pairs;
}
