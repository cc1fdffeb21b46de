// The stage: each array as tables of numbers. Pointing at a number makes it the one that is explained.

const stage = byId("stage");
let hot = null; // a product of the sum that the pointer rests on

const role = (name) =>
  name === KINDS[state.kind].arrays.at(-1) ? "output" : ({ F: "input", G: "middle", Ĝ: "middle" }[name] ?? "weight");

// Which array the panel of a letter shows: the one that is computed or used by the equation, or feeds what is used.
function shown(panel, { equation }) {
  const { equations } = KINDS[state.kind];
  const feeding = equation.from.flatMap((name) => equations[name]?.from ?? []);
  return [state.see, ...equation.from, ...feeding].find((name) => letter(name) === panel) ?? panel;
}

// Which array is explained when somebody points at a panel: the one that its equation computes. Where both the array
// and its gradient are computed, the direction stays the same.
function explained(panel) {
  const { equations } = KINDS[state.kind];
  const gradient = `d${panel}`;
  if (!equations[panel]?.terms) return gradient;
  return isGradient(state.see) && equations[gradient]?.terms ? gradient : panel;
}

// -- drawn when shapes change -----------------------------------------------------------------------------------------

function buildStage() {
  const z = sizes(state);
  const arrays = numbers();
  stage.innerHTML = KINDS[state.kind].arrays
    .map((name, place) => {
      const sign = place ? `<span class="sign" aria-hidden="true"></span>` : "";
      const { shape } = arrays[name];
      const across = shape.length === 4 ? shape[3] : "none";
      const drawn = tables(shape, z, name === "F" ? z.p : 0);
      return `<div class="stop">${sign}<figure class="panel ${role(name)}" role="group" data-panel="${name}">
      <figcaption><b></b> <span></span> <small>${shape.join(" × ")}</small></figcaption>
      <div class="tables" style="--across: ${across}">${drawn}</div>
    </figure></div>`;
    })
    .join("");
  fitCells(arrays);
}

// A table for each channel (and each kernel); a matrix is one table.
function tables(shape, { g, M, N }, margin) {
  const one = (caption, rows, columns, index, margin = 0) => {
    let body = "";
    for (let r = -margin; r < rows + margin; r++) {
      body += "<tr>";
      for (let c = -margin; c < columns + margin; c++)
        body += inside(r, c, rows, columns)
          ? `<td role="gridcell" tabindex="-1" data-at="${index(r, c).join(".")}"></td>`
          : `<td class="outside" aria-hidden="true">0</td>`;
      body += "</tr>";
    }
    return `<table role="grid"><caption>${caption}</caption><tbody>${body}</tbody></table>`;
  };
  if (shape.length === 2) return one("m ↓ n →", ...shape, (m, n) => [m, n]);
  const [rows, columns, ...channels] = shape;
  return Array.from(indices(channels), ([channel, n]) => {
    const input = n === undefined ? channel : floor(n / (N / g)) * M + channel;
    const caption = n === undefined ? `${channel}` : `${input} → ${n}`;
    return one(caption, rows, columns, (r, c) => [r, c, channel, ...(n === undefined ? [] : [n])], margin);
  }).join("");
}

// The cells' side: the largest one with which the panels take the fewest rows.
function fitCells(arrays) {
  const { p } = sizes(state);
  const space = stage.clientWidth;
  const panels = KINDS[state.kind].arrays.map((name) => {
    const [, columns, channels = 1, outputs = channels] = arrays[name].shape;
    return {
      cells: (columns + (name === "F" ? 2 * p : 0)) * outputs,
      gaps: 6 * (outputs - 1) + (name === "F" ? 20 : 46),
    };
  });
  const rows = (side) => {
    let count = 0;
    let room = 0;
    for (const { cells, gaps } of panels) {
      const width = cells * side + gaps;
      if (width > room) [count, room] = [count + Math.ceil(width / space), Math.max(space, width)];
      room -= width;
    }
    return count;
  };
  const possible = Array.from({ length: 9 }, (_, at) => 29 - at);
  const fewest = Math.min(...possible.map(rows));
  stage.style.setProperty("--cell", `${possible.find((side) => rows(side) === fewest)}px`);
}

// -- painted whenever the state changes -------------------------------------------------------------------------------

function paintStage(seen) {
  const { z, equation, index, arrays, step, total } = seen;
  const { equations } = KINDS[state.kind];
  const marks = marked(seen);
  const sequence = step ? order(equation, z).map(String) : [];
  const now = sequence.indexOf(String(index));
  paintSigns(equation);
  for (const panel of stage.querySelectorAll(".panel")) {
    const name = shown(panel.dataset.panel, seen);
    const array = arrays[name];
    const target = name === state.see;
    const [title, about] = panel.querySelectorAll("figcaption > *");
    title.textContent = name;
    about.textContent = text(
      !isGradient(name) ? `role.${role(name)}` : equations[name] ? "role.gradient" : "role.given",
    );
    panel.ariaLabel = `${name}, ${about.textContent}`;
    panel.classList.toggle("target", target);
    panel.classList.toggle("gradient", isGradient(name));
    const waiting = new Set(target && step ? sequence.slice(now + 1) : []);
    const stop = target ? state.at : (marks.first[name] ?? "");
    let reachable = null;
    for (const cell of panel.querySelectorAll("td[data-at]")) {
      const at = cell.dataset.at;
      const own = target && at === state.at;
      const hidden = waiting.size && waiting.has(at.replaceAll(".", ","));
      const value = own && step ? total : entry(array, at.split(".").map(Number));
      cell.textContent = hidden ? "" : minus(value);
      cell.className = [own && "own", marks.cells.get(`${name}[${at}]`), cell.textContent.length > 3 && "long"]
        .filter(Boolean)
        .join(" ");
      cell.setAttribute("aria-selected", own);
      cell.tabIndex = -1;
      if (at === stop || !reachable) reachable = cell;
    }
    reachable.tabIndex = 0;
  }
}

// Forward the signs of the equation; for a gradient arrows to what is computed from where it comes.
function paintSigns({ from }) {
  const { arrays } = KINDS[state.kind];
  const target = arrays.indexOf(letter(state.see));
  const forward = (name) => ({ weight: "∗", middle: "→", output: state.kind === "shuffle" ? "→" : "=" })[role(name)];
  stage.querySelectorAll(".sign").forEach((sign, before) => {
    const place = before + 1;
    const feeds = from.map(letter).includes(arrays[before]);
    if (!isGradient(state.see) || place < target) sign.textContent = forward(arrays[place]);
    else sign.textContent = place > target ? "←" : feeds ? "→" : "";
  });
}

// Which entries take part: `used` by the sum, `now` in its current product, `far` what the used ones are computed from.
function marked({ z, terms, current }) {
  const cells = new Map();
  const first = {};
  const { equations } = KINDS[state.kind];
  const key = ([name, ...index]) => `${name}[${index.join(".")}]`;
  const used = terms.flatMap(([, ...factors]) => factors);
  for (const [name, ...index] of used) {
    const deeper = equations[name];
    if (deeper?.terms && isGradient(name) === isGradient(state.see))
      for (const [, ...factors] of deeper.terms(z, index)) for (const factor of factors) cells.set(key(factor), "far");
  }
  for (const factor of used) {
    cells.set(key(factor), "used");
    first[factor[0]] ??= factor.slice(1).join(".");
  }
  const [, ...factors] = (hot === null ? current : terms[hot]) ?? [];
  for (const factor of factors) cells.set(key(factor), "used now");
  return { cells, first };
}

// -- pointing ---------------------------------------------------------------------------------------------------------

function point(event) {
  const cell = event.target.closest?.("td[data-at]");
  if (!cell) return;
  stop();
  const see = explained(cell.closest(".panel").dataset.panel);
  const at = cell.dataset.at;
  if (see !== state.see || at !== state.at || state.step) go({ see, at, step: 0 });
}

// Arrow keys move through a table, and over its edge into the next one.
function move(event) {
  const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
  const cell = event.target.closest("td[data-at]");
  if (!steps || !cell) return;
  event.preventDefault();
  const body = cell.closest("tbody");
  const grids = [...cell.closest(".tables").querySelectorAll("tbody")];
  const cells = (grid) =>
    [...grid.rows].map((row) => [...row.cells].filter((one) => one.dataset.at)).filter((row) => row.length);
  const rows = cells(body);
  const r = rows.findIndex((row) => row.includes(cell));
  const c = rows[r].indexOf(cell);
  const across = parseInt(cell.closest(".tables").style.getPropertyValue("--across")) || 1;
  const [down, right] = steps;
  const next = rows[r + down]?.[c + right];
  const beyond = grids[grids.indexOf(body) + right + down * across];
  const edge =
    beyond &&
    cells(beyond)[down ? (down > 0 ? 0 : rows.length - 1) : r][right ? (right > 0 ? 0 : rows[0].length - 1) : c];
  (next ?? edge ?? cell).focus();
}

stage.addEventListener("pointerover", (event) => event.pointerType !== "touch" && point(event));
stage.addEventListener("click", point);
stage.addEventListener("focusin", point);
stage.addEventListener("keydown", move);
new ResizeObserver(() => fitCells(numbers())).observe(stage);
