// The state: everything that the page shows follows from it, and it stands in the address, so that a link leads to
// one setting, one entry, one step of the loops.

const SLIDERS = {
  H: [1, 8],
  W: [1, 8],
  D: [1, 5],
  s: [1, 3],
  p: [0, 3],
  d: [1, 3],
  C: [1, 8],
  N: [1, 8],
  g: [1, 4],
  channels: [2, 24],
  groups: [1, 8],
  layers: [1, 4],
};
const USES = {
  standard: "HWDspdCN",
  depthwise: "HWDspdC",
  pointwise: "HWCN",
  separable: "HWDspdCN",
  group: "HWDspdCNg",
  shuffle: "HWDspdCNg",
};
// What is on, and what was pointed at: entry `at` of the array `see`, up to product number `step` (0: all of them).
const START = {
  tab: DATA.network ? "network" : "convolution",
  kind: "standard",
  H: 4,
  W: 4,
  D: 3,
  s: 1,
  p: 1,
  d: 1,
  C: 2,
  N: 3,
  g: 2,
  seed: 1,
  see: "G",
  at: "1.2.0",
  step: 0,
  channels: 12,
  groups: 3,
  layers: 2,
  pick: "",
  layer: 0,
  language: "",
  theme: "",
};
const state = { ...START };

const TABS = { convolution: true, wiring: true, ...(DATA.network && { network: true }) };
const CHOICES = { tab: TABS, kind: KINDS, language: DATA.texts, theme: { light: true, dark: true } };

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

// The nearest state that makes sense.
function fit(wanted) {
  const fitted = { ...START };
  for (const [name, start] of Object.entries(START)) {
    const value = wanted[name] ?? start;
    fitted[name] = typeof start === "string" ? String(value) : Number.isFinite(+value) ? Math.round(+value) : start;
  }
  for (const [name, [low, high]] of Object.entries(SLIDERS)) fitted[name] = clamp(fitted[name], low, high);
  for (const [name, allowed] of Object.entries(CHOICES))
    if (!Object.hasOwn(allowed, fitted[name])) fitted[name] = START[name];
  if (grouped(fitted.kind))
    for (const name of ["C", "N"]) fitted[name] = multiple(fitted[name], fitted.g, SLIDERS[name][1]);
  fitted.channels = multiple(fitted.channels, fitted.groups, SLIDERS.channels[1]);
  const room = Math.min(fitted.H, fitted.W) + 2 * fitted.p; // what the kernel covers must fit into the padded image
  while (fitted.d * (fitted.D - 1) + 1 > room) fitted.d > 1 ? fitted.d-- : fitted.D--;
  const { arrays, equations } = KINDS[fitted.kind];
  if (!equations[fitted.see]?.terms) fitted.see = arrays.at(-1);
  const shape = equations[fitted.see].shape(sizes(fitted));
  const index = fitted.at.split(".").map(Number);
  fitted.at = shape.map((length, axis) => clamp(Math.round(index[axis]) || 0, 0, length - 1)).join(".");
  fitted.step = Math.max(fitted.step, 0);
  fitted.seed = Math.abs(fitted.seed);
  return fitted;
}

const multiple = (value, of, most) => clamp(Math.round(value / of), 1, floor(most / of)) * of;

function read(address) {
  const given = Object.fromEntries(new URLSearchParams(new URL(address).hash.slice(1)));
  Object.assign(state, fit(given));
}

// The address holds what differs from the start. Browsers refuse an address that changes too often, so it is written with a pause.
let writing;
function write() {
  clearTimeout(writing);
  writing = setTimeout(() => {
    const changed = Object.entries(state).filter(([name, value]) => value !== START[name] || name === "kind");
    history.replaceState(null, "", `#${new URLSearchParams(changed)}`);
  }, 150);
}

function go(changes) {
  Object.assign(state, fit({ ...state, ...changes }));
  write();
  render();
}

// -- the equation that is shown, and its sum --------------------------------------------------------------------------

// Everything about the entry that was pointed at; computed when it is asked for, and forgotten when the state changes.
function view() {
  const z = sizes(state);
  const equation = KINDS[state.kind].equations[state.see];
  const index = state.at.split(".").map(Number);
  const arrays = numbers();
  const terms = [...equation.terms(z, index)];
  const step = Math.min(state.step, terms.length);
  const done = step ? terms.slice(0, step) : terms;
  const total = done.reduce((sum, [, ...factors]) => sum + product(factors, arrays), 0);
  return { z, equation, index, arrays, terms, step, total, current: step ? terms[step - 1] : null };
}

// The arrays, computed again only where sizes or numbers change.
const numbers = (() => {
  let key, arrays;
  return () => {
    const z = sizes(state);
    const wanted = JSON.stringify([state.kind, state.seed, z]);
    if (wanted !== key) [key, arrays] = [wanted, compute(state, z)];
    return arrays;
  };
})();

// The entries of an array in the order in which its loops come to them.
const order = (equation, z) => [...(equation.order ? equation.order(z) : indices(equation.shape(z)))];
