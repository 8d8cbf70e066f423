// The page of a report over a fleet: its answer, a chart of bars on one axis, and all rows.
const percent = (part) => `${100 * part}%`;

// Bars of {label, value, parts: [kind, begin, length]}, shares of the axis; a line where 0 is.
const axisBars = ({ bars, zero }) => {
  const table = element("table", null, { class: "bars bounds" });
  for (const { label, value, parts } of bars) {
    const axis = element("div", null, { class: "axis" });
    const origin = element("span", null, { class: "zero" });
    origin.style.left = percent(zero);
    axis.append(origin);
    for (const [kind, begin, length] of parts) {
      const part = element("span", null, { class: kind });
      part.style.left = percent(begin);
      if (length > 0) part.style.width = percent(length);
      axis.append(part);
    }
    const cell = element("td", null, { class: "bar" });
    cell.append(axis);
    const line = element("tr");
    line.append(element("th", label, { scope: "row" }), cell, element("td", value));
    table.append(line);
  }
  return table;
};

const rowsTable = (data) => {
  const wanted = find("filter").value.trim().toLowerCase();
  const head = element("tr");
  head.append(...data.columns.map((text) => element("th", text, { scope: "col" })));
  const lines = data.rows.filter((row) => row.join(" ").toLowerCase().includes(wanted)).map((row) => {
    const line = element("tr");
    line.append(...row.map((text) => element("td", text)));
    return line;
  });
  find("rows").replaceChildren(head, ...lines);
};

const start = () => {
  const data = JSON.parse(find("data").textContent);
  for (const id of ["answer", "seen"]) find(id).textContent = data[id];
  for (const [name, text] of data.facts) {
    const line = element("tr");
    line.append(element("th", name, { scope: "row" }), element("td", text));
    find("facts").append(line);
  }
  find("chart-title").textContent = data.chart.title;
  find("chart").append(legendOf(data.chart.keys), axisBars(data.chart));
  find("chart-words").textContent = `${data.chart.why}${data.bars_left_out ? ` ${data.bars_left_out} more rows are in the table alone.` : ""}`;
  find("rows-words").textContent = data.rows_left_out ? `${data.rows_left_out} more rows are left out; --json has all.` : "";
  find("filter").addEventListener("input", () => rowsTable(data));
  rowsTable(data);
  document.documentElement.dataset.ready = "yes";
};

start();
