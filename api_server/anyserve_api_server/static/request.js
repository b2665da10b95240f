// A request, sent from here; its answers are shown as they come.
import { read, write } from "./capabilities.js";
import { amount, count, duration, element } from "./format.js";

const MOST = 500; // answers that are shown; of those before only the number
const LONGEST = 20_000; // characters of an answer that are shown

/** The form and what came back. */
export class RequestForm {
  constructor(form) {
    this.form = form;
    this.answers = document.getElementById("answers");
    this.outcome = document.getElementById("outcome");
    this.send = document.getElementById("send");
    this.cancel = document.getElementById("cancel");
    this.running = null;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!this.running) this.run();
    });
    form.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
    });
    this.cancel.addEventListener("click", () => this.running?.abort());
  }

  choose(pairs) {
    this.form.wanted.value = write(pairs);
    this.form.inputs.focus();
  }

  async run() {
    const body = this.body();
    if (!body) return;
    this.begin();
    try {
      const asStream = document.getElementById("as-stream").checked;
      await (asStream ? this.stream(body) : this.once(body));
    } catch (error) {
      const cancelled = error.name === "AbortError";
      this.end(cancelled ? "cancelled" : `the server is gone: ${error.message}`, "bad");
    } finally {
      this.running = null;
      this.send.disabled = false;
      this.cancel.hidden = true;
    }
  }

  /** What is sent; nothing, and a note, if the form is not filled in well. */
  body() {
    const { wanted, inputs } = this.form;
    let at = wanted;
    try {
      const pairs = read(wanted.value);
      at = inputs;
      const given = JSON.parse(inputs.value || "{}");
      if (typeof given !== "object" || given === null || Array.isArray(given)) {
        throw new Error('the inputs are an object, such as {"text": ["hello"]}');
      }
      wanted.classList.remove("invalid");
      inputs.classList.remove("invalid");
      const parameters = Object.fromEntries(Object.entries(pairs).map(([key, value]) => [`cap.${key}`, value]));
      return JSON.stringify({ inputs: given, parameters });
    } catch (error) {
      at.classList.add("invalid");
      at.focus();
      this.end(error.message, "bad");
      return null;
    }
  }

  begin() {
    this.running = new AbortController();
    this.started = performance.now();
    this.received = 0;
    this.send.disabled = true;
    this.cancel.hidden = false;
    this.answers.replaceChildren();
    this.answers.hidden = true;
    this.end("waiting", "");
  }

  async once(body) {
    const response = await this.post("/infer", body);
    const text = await response.text();
    this.add(text, response.ok ? "" : "error");
    const took = duration(this.elapsed()).join(" ");
    this.end(response.ok ? `answered in ${took}` : `${response.status} after ${took}`, response.ok ? "good" : "bad");
  }

  async stream(body) {
    const response = await this.post("/infer/stream", body);
    if (!response.ok) {
      this.add(await response.text(), "error");
      this.end(`${response.status} after ${duration(this.elapsed()).join(" ")}`, "bad");
      return;
    }
    let failed = false;
    for await (const event of events(response.body)) {
      failed = event.name === "error";
      this.add(event.data, failed ? "error" : "");
      this.end(`${count(this.received, "answer")} so far`, "");
    }
    const took = this.elapsed();
    const rate = this.received > 1 ? `, ${amount(this.received / took)}/s` : "";
    const told = `${count(this.received, "answer")} in ${duration(took).join(" ")}${rate}`;
    this.end(failed ? "failed" : told, failed ? "bad" : "good");
  }

  post(path, body) {
    const headers = { "content-type": "application/json" };
    return fetch(path, { method: "POST", headers, body, signal: this.running.signal });
  }

  add(text, kind) {
    this.received += 1;
    const { answers } = this;
    const follows = answers.scrollTop + answers.clientHeight >= answers.scrollHeight - 4;
    const row = element("li", kind, element("span", "at", duration(this.elapsed()).join(" ")),
      element("pre", "", pretty(text)));
    answers.append(row);
    answers.hidden = false;
    if (answers.children.length > MOST) answers.firstChild.remove();
    if (follows) answers.scrollTop = answers.scrollHeight;
  }

  end(text, kind) {
    this.outcome.textContent = text;
    this.outcome.className = kind;
  }

  elapsed() {
    return (performance.now() - this.started) / 1000;
  }
}

/** The outputs alone, where that is all there is to see. */
function pretty(text) {
  let shown = text;
  try {
    const { outputs, error } = JSON.parse(text);
    shown = error ?? Object.entries(outputs).map(([name, data]) => `${name}: ${JSON.stringify(data)}`).join("\n");
  } catch {
    // Not JSON that browsers read, such as with NaN: as it came.
  }
  return shown.length > LONGEST ? `${shown.slice(0, LONGEST)} … (${text.length} characters)` : shown;
}

/** The events of a stream that was asked for by POST, which EventSource cannot. */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const parts = text.split("\n\n");
    text = parts.pop();
    for (const part of parts) {
      const event = { name: "message", data: null };
      for (const line of part.split("\n")) {
        if (line.startsWith("event: ")) event.name = line.slice(7);
        if (line.startsWith("data: ")) event.data = line.slice(6);
      }
      if (event.data !== null) yield event;
    }
  }
}
