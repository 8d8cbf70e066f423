// What the recording answers: how much memory is needed, what serves the accesses, and when the pattern changed.
const legendOf = (keys) => {
  const words = element("p");
  for (const [kind, text] of keys) {
    const key = element("span", text, { class: "key" });
    key.prepend(element("i", null, { class: kind }));
    words.append(key);
  }
  return words;
};

const between = ({ low, high }) => (size(low) === size(high) ? size(high) : `${size(low)} to ${size(high)}`);

// Bars of [label, {low, high}, kind], at least `least` bytes long in all: full up to the lower bound, hatched up to the upper one.
const boundBars = (rows, least = 1) => {
  const most = Math.max(least, ...rows.map(([, bounds]) => bounds.high));
  const table = element("table", null, { class: "bars bounds" });
  for (const [label, bounds, kind] of rows) {
    const line = element("tr");
    line.append(element("th", label, { scope: "row" }));
    const fill = element("div", null, { class: "fill" });
    for (const [name, bytes] of [[kind, bounds.low], [`${kind} perhaps`, bounds.high - bounds.low]]) {
      const part = element("span", null, { class: name });
      part.style.width = `${(100 * bytes) / most}%`;
      fill.append(part);
    }
    const cell = element("td", null, { class: "bar" });
    cell.append(fill);
    line.append(cell, element("td", between(bounds)));
    table.append(line);
  }
  return table;
};

const same = (bytes) => ({ low: bytes, high: bytes });

const answers = (data) => {
  const { size: found, right_size: right } = data;
  const rows = [["needed", found.needed_bytes, "hot"], ["resident, most", same(found.resident_bytes), "second"]];
  const estimate = found.cold_bytes === null ? found.cold_estimate_bytes : null;
  if (estimate !== null) rows.push([`cold, by an estimate of unknown error: not touched for ${time(found.cold_seconds)}`, { low: estimate, high: estimate }, "idle"]);
  if (found.cold_bytes !== null) rows.push([`cold, reclaimable: not touched for ${time(found.cold_seconds)}`, found.cold_bytes, "idle"]);
  if (right !== null) rows.push(["recommended request", same(right.request_bytes), "second"], ["recommended limit", same(right.limit_bytes), "second"]);
  find("size").append(legendOf([["hot", "accessed"], ["idle", "not accessed"], ["second", "resident, or recommended"], ["hot perhaps", "between at least and at most"]]), boundBars(rows));
  find("size-words").textContent = [
    `Confidence ${found.confidence}${found.why === null ? "" : `: ${found.why}`}.`,
    found.shared ? "Memory that several have counts once." : "",
    right === null ? "" : `The limit is ${right.swap ? "" : "for a machine without swap, and "}has a buffer of ${share(right.buffer)}. Page cache: ${right.page_cache.why}.`,
  ].filter(Boolean).join(" ");
  find("serve-section").hidden = right === null;
  if (right === null) return;
  find("serve").append(
    legendOf(right.estimated === null ? [["hot", "at least"], ["hot perhaps", "up to at most"]] : [["hot", "by an estimate without bounds"]]),
    boundBars(right.curve.map((one) => [share(one.serve), one, "hot"])),
  );
};

const IDLE_KEYS = {
  "with bounds": [["idle", "not touched for so long, at least"], ["idle perhaps", "up to at most"]],
  "without bounds": [["idle", "not touched for so long, by estimate"]],
};

const ages = (data) => {
  find("ages-section").hidden = data.ages.rows.length === 0;
  const rows = data.ages.rows.map(([label, low, high]) => [label, { low, high }, "idle"]);
  find("ages").append(legendOf(IDLE_KEYS[data.ages.estimate] ?? [["idle", "surely not touched for so long"], ["idle perhaps", "perhaps"]]), boundBars(rows, data.ages.resident_bytes));
  find("ages-words").textContent = [
    `Of ${data.ages.shared ? "at most " : ""}${size(data.ages.resident_bytes)} resident at the end, watched for ${time(data.ages.seconds)}: of longer times nothing is known.`,
    data.ages.why === null ? "" : `${data.ages.why[0].toUpperCase()}${data.ages.why.slice(1)}.`,
  ].filter(Boolean).join(" ");
};

// What others did may be in it.
const shareOf = (row, part) => `${row.upper_bound && part > 0 ? "≤" : ""}${share(part)}`;

const phases = (table, data) => {
  const most = Math.max(1, ...data.phases.map((one) => one.hot_bytes));
  const head = element("tr");
  head.append(...["from", "to", data.grain === "mapping" ? "touched in a window" : data.rate_word === "share" ? "touched, bytes times share" : "accessed, bytes times rate", "what changed"].map((text) => element("th", text, { scope: "col", class: "text" })));
  table.replaceChildren(head);
  for (const one of data.phases) {
    const line = element("tr");
    const heat = element("td", one.bounds === null ? size(one.hot_bytes) : between(one.bounds), { class: "text" });
    const meter = element("span", null, { class: "meter", "aria-hidden": "true" });
    const part = element("span");
    part.style.width = `${(100 * one.hot_bytes) / most}%`;
    meter.append(part);
    heat.append(meter);
    const moved = one.moved.map((row) => `${row.label} ${row.start} from ${shareOf(row, row.before)} to ${shareOf(row, row.rate)}`).join(", ");
    line.append(element("td", moment(one.begin), { class: "text" }), element("td", moment(one.end), { class: "text" }), heat, element("td", moved || "–", { class: "text wrapped" }));
    table.append(line);
  }
};
