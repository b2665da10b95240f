// Numbers and times as people read them.

/** 0, 0.42, 8.5, 124, 12.4k */
export function amount(value) {
  if (value === 0) return "0";
  if (value < 10) return trim(value.toFixed(value < 1 ? 2 : 1));
  if (value < 10_000) return Math.round(value).toString();
  if (value < 1e6) return trim((value / 1e3).toFixed(1)) + "k";
  return trim((value / 1e6).toFixed(1)) + "M";
}

/** Seconds as [number, unit]: ["0.42", "ms"], ["3.1", "s"]. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return ["–", ""];
  if (seconds < 0.001) return [amount(seconds * 1e6), "µs"];
  if (seconds < 1) return [amount(seconds * 1e3), "ms"];
  return [amount(seconds), "s"];
}

/** How long ago, coarsely: 12 s, 5 min, 3 h, 2 d. */
export function age(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129_600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

/** Bytes: 34 MiB, 1.2 GiB. */
export function size(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (bytes >= 1024 && at < units.length - 1) {
    bytes /= 1024;
    at += 1;
  }
  return `${bytes < 10 && at > 0 ? trim(bytes.toFixed(1)) : Math.round(bytes)} ${units[at]}`;
}

export function count(number, one, many = `${one}s`) {
  return `${number} ${number === 1 ? one : many}`;
}

/** An element with a class and children; text is never read as HTML. */
export function element(tag, className = "", ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

/** Sets text only where it differs, so that a selection in it survives. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function trim(text) {
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}
