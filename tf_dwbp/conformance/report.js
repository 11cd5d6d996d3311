const evidence = JSON.parse(document.getElementById("evidence").textContent);
const {axes, paths, verdicts, messages, cells} = evidence;
const listed = 300;
const byId = (id) => document.getElementById(id);

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

// Every tile knows its cell; every cell its tiles.
cells.forEach((cell) => (cell.tiles = []));
for (const group of document.querySelectorAll("td[data-cells]")) {
  const numbers = group.dataset.cells.split(" ").map(Number);
  for (const block of group.querySelectorAll(".tiles"))
    [...block.children].forEach((tile, i) => {
      tile.cell = cells[numbers[i]];
      tile.cell.tiles.push(tile);
    });
}

// Evidence of one cell, which follows the pointer until a click keeps it.
let kept = null;
function show(cell) {
  const list = element("dl");
  cell.outcomes.forEach((outcome, i) => {
    if (!outcome) return;  // not asked
    const [verdict, message, error, bound, where] = outcome;
    const figures = error === undefined ? "" :
      `error ${error.toPrecision(3)}, bound ${bound.toPrecision(3)} (${(error / bound).toPrecision(3)} of it) at [${where}]`;
    const chip = element("dd");
    chip.append(element("span", `chip ${verdicts[verdict]}`, verdicts[verdict]));
    list.append(element("dt", "", paths[i]), chip,
                element("dd", "", [messages[message], figures].filter(Boolean).join("\n")));
  });
  const [input, filter, output] = cell.sizes.map((sizes) => `[${sizes.join(", ")}]`);
  byId("panel").replaceChildren(
    element("strong", "id", cell.id),
    element("span", "faint", `   input ${input}, filter ${filter}, output ${output}`),
    ...cell.failures.map((text) => element("div", "", `fails: ${text.split("\n")[0]}`)),
    ...cell.known.map((text) => element("div", "", `expected: ${text.split("\n")[0]}`)),
    ...(cell.repeat ? [element("code", "", cell.repeat)] : []), list);
}
function keep(cell) {
  kept?.tiles.forEach((tile) => tile.classList.remove("chosen"));
  kept = kept === cell ? null : cell;
  kept?.tiles.forEach((tile) => tile.classList.add("chosen"));
  show(cell);
}
const cellOf = (event) => event.target.cell ?? event.target.closest("tr")?.cell;
for (const id of ["matrix", "list"]) {
  byId(id).addEventListener("mouseover", (e) => !kept && cellOf(e) && show(cellOf(e)));
  byId(id).addEventListener("click", (e) => cellOf(e) && keep(cellOf(e)));
}

const verdictOf = (outcome) => outcome ? verdicts[outcome[0]] : "not asked";

// Filters: one for each axis, and one for what each path did.
const columns = [
  ...axes.map((name, i) => [name, (cell) => cell.axes[i]]),
  ...paths.map((name, i) => [name, (cell) => verdictOf(cell.outcomes[i])]),
  ["failing", (cell) => (cell.failures.length ? "yes" : cell.known.length ? "as expected" : "no")],
];
const selects = columns.map(([name, value]) => {
  const label = element("label", "", name), select = element("select");
  select.append(element("option", "", "all"));
  new Set(cells.map(value)).forEach((text) => select.append(element("option", "", text)));
  label.append(select);
  byId("filters").append(label);
  return select;
});
const reset = element("button", "", "reset");
reset.type = "reset";
byId("filters").append(reset);

function filter() {
  const matching = [];
  for (const cell of cells) {
    const on = columns.every(([, value], i) =>
      selects[i].value === "all" || selects[i].value === String(value(cell)));
    cell.tiles.forEach((tile) => tile.classList.toggle("off", !on));
    if (on) matching.push(cell);
  }
  const some = matching.length > listed ? `, the first ${listed} of them` : "";
  byId("count").textContent = `${matching.length.toLocaleString("en")} cells${some}`;
  byId("list").tBodies[0].replaceChildren(...matching.slice(0, listed).map((cell) => {
    const row = element("tr");
    row.cell = cell;
    row.append(element("td", "id", cell.id));
    cell.outcomes.forEach((outcome, i) => {
      const column = element("td", "faint", `${paths[i]} `);
      const verdict = verdictOf(outcome);
      column.append(outcome ? element("span", `chip ${verdict}`, verdict) : verdict);
      row.append(column);
    });
    return row;
  }));
}
byId("filters").addEventListener("change", filter);
byId("filters").addEventListener("reset", () => setTimeout(filter));
filter();
