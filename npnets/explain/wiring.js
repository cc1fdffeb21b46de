// Wiring: which channels reach which through several group convolutions, with and without a shuffle between them.

// Channel by channel where one step leads: a group convolution to all outputs of the group, the shuffle to one place.
const groupConvolution = (C, g) =>
  Array.from({ length: C }, (_, m) => {
    const n = C / g;
    const a = floor(m / n);
    return Array.from({ length: n }, (_, j) => a * n + j);
  });
const channelShuffle = (C, g) =>
  Array.from({ length: C }, (_, m) => {
    const n = C / g;
    const a = floor(m / n);
    const j = m % n;
    return [j * g + a];
  });
const straight = (C) => Array.from({ length: C }, (_, m) => [m]);

// Convolution, shuffle, convolution, ...: a shuffle stands between two convolutions.
const wires = ({ channels, groups, layers }, shuffles) =>
  Array.from({ length: 2 * layers - 1 }, (_, step) =>
    step % 2 ? (shuffles ? channelShuffle(channels, groups) : straight(channels)) : groupConvolution(channels, groups),
  );

// For each level the channels that a path connects with `channel` of `level`.
function reached(steps, level, channel) {
  const sets = [];
  sets[level] = new Set([channel]);
  for (let at = level; at < steps.length; at++) sets[at + 1] = new Set([...sets[at]].flatMap((m) => steps[at][m]));
  for (let at = level; at > 0; at--)
    sets[at - 1] = new Set(steps[at - 1].flatMap((to, m) => (to.some((n) => sets[at].has(n)) ? [m] : [])));
  return sets;
}

const ROW = 18;
const COLUMN = 92;
const EDGE = 26;

function drawWiring(shuffles) {
  const steps = wires(state, shuffles);
  const { channels, groups } = state;
  const [level, channel] = picked(steps.length);
  const sets = reached(steps, level, channel);
  const x = (at) => EDGE + at * COLUMN;
  const y = (m) => EDGE + 8 + m * ROW;
  const group = (m) => floor(m / (channels / groups));
  let lines = "";
  let litLines = "";
  let dots = "";
  steps.forEach((to, at) =>
    to.forEach((ends, m) =>
      ends.forEach((n) => {
        const on = sets[at].has(m) && sets[at + 1].has(n);
        const middle = (x(at) + x(at + 1)) / 2;
        const curve = `M${x(at)} ${y(m)}C${middle} ${y(m)} ${middle} ${y(n)} ${x(at + 1)} ${y(n)}`;
        if (on) litLines += `<path class="on" d="${curve}"/>`;
        else lines += `<path d="${curve}"/>`;
      }),
    ),
  );
  for (let at = 0; at <= steps.length; at++)
    for (let m = 0; m < channels; m++) {
      const own = at === level && m === channel;
      const on = sets[at].has(m);
      const side = { 0: [-13, "end"], [steps.length]: [13, "start"] }[at]; // of the numbers
      const number = side && `<text x="${x(at) + side[0]}" y="${y(m) + 4}" text-anchor="${side[1]}">${m}</text>`;
      dots += `<g class="dot${on ? " on" : ""}${own ? " own" : ""}" style="--hue: ${(360 * group(m)) / groups}"
        data-pick="${at}.${m}" tabindex="${own ? 0 : -1}"
        role="option" aria-selected="${own}" aria-label="${text("wiring.dot", { level: at, channel: m })}">
        <circle class="hit" cx="${x(at)}" cy="${y(m)}" r="9"/><circle cx="${x(at)}" cy="${y(m)}" r="6"/>
        ${number ?? ""}</g>`;
    }
  const names = ["wiring.conv", shuffles ? "wiring.shuffle" : "wiring.none"];
  const labels = steps.map(
    (_, at) => `<text class="step" x="${(x(at) + x(at + 1)) / 2}" y="12">${text(names[at % 2])}</text>`,
  );
  const width = x(steps.length) + EDGE;
  const height = y(channels - 1) + 14;
  return `<svg viewBox="0 0 ${width} ${height}" style="max-width: ${width * 1.25}px"
    role="listbox" aria-label="${text(shuffles ? "wiring.with" : "wiring.without")}">
    ${labels.join("")}<g class="lines">${lines}${litLines}</g>${dots}</svg>`;
}

// The channel that was pointed at; at first the last output, whose inputs are to be seen.
function picked(last) {
  const [level, channel] = (state.pick || `${last}.0`).split(".").map(Number);
  return [clamp(level || 0, 0, last), clamp(channel || 0, 0, state.channels - 1)];
}

// A square for each pair of output (row) and input (column) that a path connects.
function drawMatrix(shuffles) {
  const steps = wires(state, shuffles);
  const { channels } = state;
  const side = 10;
  const [level, channel] = picked(steps.length);
  let squares = "";
  let count = 0;
  for (let n = 0; n < channels; n++) {
    const inputs = reached(steps, steps.length, n)[0];
    count += inputs.size;
    for (let m = 0; m < channels; m++) {
      const lit = (level === steps.length && n === channel) || (level === 0 && m === channel);
      squares += `<rect class="${inputs.has(m) ? "on" : ""}${lit ? " lit" : ""}" x="${m * side}" y="${n * side}"
        width="${side - 1}" height="${side - 1}"/>`;
    }
  }
  const label = text("wiring.pairs", { count, all: channels ** 2 });
  const whole = channels * side;
  return `<figure class="matrix">
    <svg viewBox="0 0 ${whole} ${whole}" role="img" aria-label="${label}">${squares}</svg>
    <figcaption>${label}</figcaption></figure>`;
}

function paintWiring() {
  for (const shuffles of [false, true]) {
    const card = byId(shuffles ? "wired-shuffle" : "wired-plain");
    const steps = wires(state, shuffles);
    const [level, channel] = picked(steps.length);
    const sets = reached(steps, level, channel);
    const names = (set) => [...set].sort((one, other) => one - other).join(" ");
    const values = {
      channel,
      level,
      inputs: names(sets[0]),
      outputs: names(sets.at(-1)),
      from: sets[0].size,
      to: sets.at(-1).size,
      all: state.channels,
    };
    const says = level === 0 ? "wiring.reaches" : level === steps.length ? "wiring.sees" : "wiring.both";
    const focused = card.contains(document.activeElement);
    card.querySelector(".drawing").innerHTML = drawWiring(shuffles);
    card.querySelector(".reach").innerHTML = text(says, values);
    card.querySelector(".pairs").innerHTML = drawMatrix(shuffles);
    if (focused) card.querySelector(".own").focus({ preventScroll: true });
  }
  const reads = [];
  channelShuffle(state.channels, state.groups).forEach(([to], from) => (reads[to] = from));
  byId("reads").textContent = text("wiring.reads", { order: reads.join(" ") });
}

const wiring = byId("wiring");
function pick(event) {
  const dot = event.target.closest?.("[data-pick]");
  if (dot && dot.dataset.pick !== state.pick) go({ pick: dot.dataset.pick });
}
wiring.addEventListener("pointerover", pick);
wiring.addEventListener("click", pick);
wiring.addEventListener("keydown", (event) => {
  const steps = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] }[event.key];
  if (!steps || !event.target.closest("[data-pick]")) return;
  event.preventDefault();
  const last = 2 * state.layers - 1;
  const [level, channel] = picked(last);
  go({ pick: `${clamp(level + steps[0], 0, last)}.${clamp(channel + steps[1], 0, state.channels - 1)}` });
});
