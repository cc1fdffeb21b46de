// The frame: tabs, kinds, sliders, language, light and dark; and one `render` that shows the state.

const LETTERS = { D: "D<sub>K</sub>", channels: "C", groups: "g", layers: "L" };

function buildControls() {
  byId("kinds").innerHTML = Object.keys(KINDS)
    .map(
      (kind) => `<button role="radio" data-kind="${kind}">${icon(kind)}<span data-text="kind.${kind}"></span></button>`,
    )
    .join("");
  const slider = (name) => {
    const [low, high] = SLIDERS[name];
    return `<label data-slider="${name}" for="slider-${name}">
      <span><b>${LETTERS[name] ?? name}</b> <span data-text="slider.${name}"></span></span><output aria-hidden="true"></output>
      <input type="range" id="slider-${name}" name="${name}" min="${low}" max="${high}"></label>`;
  };
  byId("sliders").innerHTML = [..."HWDspdCNg"].map(slider).join("");
  byId("wiring-sliders").innerHTML = ["channels", "groups", "layers"].map(slider).join("");
}

// Three channels in, three out, and which of them are connected.
function icon(kind) {
  const pairs = {
    standard: "00 01 02 10 11 12 20 21 22",
    depthwise: "00 11 22",
    pointwise: "00 01 02 10 11 12 20 21 22",
    separable: "00 11 22",
    group: "00 01 10 11 22",
    shuffle: "00 01 10 11 22",
  }[kind].split(" ");
  const two = kind === "separable" || kind === "shuffle";
  const x = two ? [2, 14, 26] : [4, 24];
  const y = [4, 12, 20];
  const then = { separable: "00 01 02 10 11 12 20 21 22", shuffle: "00 12 21" }[kind]?.split(" ") ?? [];
  const lines = (all, from, to) => all.map(([m, n]) => `M${from} ${y[m]}L${to} ${y[n]}`).join("");
  const dots = x.flatMap((at) => y.map((to) => `<circle cx="${at}" cy="${to}" r="2"/>`)).join("");
  const wires = lines(pairs, x[0], x[1]) + lines(then, x[1], x[2]);
  return `<svg viewBox="0 0 28 24" aria-hidden="true"><path d="${wires}"/>${dots}</svg>`;
}

let built = "";

function render() {
  document.documentElement.style.colorScheme = state.theme || "light dark";
  for (const tab of document.querySelectorAll("[role=tab]")) {
    const on = tab.dataset.tab === state.tab;
    tab.setAttribute("aria-selected", on);
    tab.tabIndex = on ? 0 : -1;
    tab.hidden = !(tab.dataset.tab in TABS);
    byId(tab.dataset.tab).hidden = !on;
  }
  for (const button of document.querySelectorAll("#kinds button")) {
    const on = button.dataset.kind === state.kind;
    button.setAttribute("aria-checked", on);
    button.tabIndex = on ? 0 : -1;
  }
  paintSliders();
  if (built !== language()) translate();
  if (state.tab === "convolution") renderConvolution();
  if (state.tab === "wiring") paintWiring();
  if (state.tab === "network") paintNetwork();
  built = language();
}

let shapes = "";

function renderConvolution() {
  const wanted = JSON.stringify([state.kind, sizes(state)]);
  if (wanted !== shapes || !stage.firstChild) {
    shapes = wanted;
    buildStage();
  }
  const seen = view();
  byId("kind-says").innerHTML = text(`about.${state.kind}`);
  paintEquations();
  paintStage(seen);
  paintSum(seen);
  paintFormula(seen);
  paintCode(seen);
  paintCost();
  paintPlay();
  speak(seen);
}

function paintSliders() {
  for (const label of document.querySelectorAll("[data-slider]")) {
    const { slider } = label.dataset;
    const input = label.querySelector("input");
    label.hidden = slider.length === 1 && !USES[state.kind].includes(slider);
    input.value = state[slider];
    label.querySelector("output").textContent = state[slider];
    if (slider === "C" || slider === "N") input.min = input.step = grouped(state.kind) ? state.g : 1;
    if (slider === "C") label.querySelector("b").textContent = grouped(state.kind) ? "C" : "M";
    if (slider === "channels") input.min = input.step = state.groups;
  }
}

// Keys of a group of buttons, of which one is chosen.
function choose(box, name, data) {
  box.addEventListener("click", (event) => {
    const value = event.target.closest("button")?.dataset[data];
    if (value !== undefined) (stop(), go(name(value)));
  });
  box.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const all = [...box.querySelectorAll("button:not([hidden])")];
    const at = all.indexOf(event.target.closest("button")) + by;
    const value = all[(at + all.length) % all.length].dataset[data];
    (stop(), go(name(value)));
    box.querySelector(`[data-${data}="${value}"]`).focus();
  });
}

// Groups show nothing with a channel each, so that there are at least four of them.
const chosenKind = (kind) => ({
  kind,
  see: "",
  at: state.at,
  step: 0,
  ...(grouped(kind) && { C: Math.max(state.C, 4), N: Math.max(state.N, 4), g: Math.max(state.g, 2) }),
});

function listen() {
  choose(byId("kinds"), chosenKind, "kind");
  choose(byId("equations"), (see) => ({ see, step: 0 }), "see");
  choose(byId("tabs"), (tab) => ({ tab }), "tab");
  document.addEventListener("input", (event) => {
    if (event.target.type !== "range") return;
    stop();
    go({ [event.target.name]: Number(event.target.value), step: 0 });
  });
  byId("language").addEventListener("click", () => go({ language: language() === "en" ? "ko" : "en" }));
  byId("theme").addEventListener("click", () => go({ theme: isDark() ? "light" : "dark" }));
  byId("numbers").addEventListener("click", () => go({ seed: state.seed + 1, step: 0 }));
  addEventListener("hashchange", (event) => (read(event.newURL), write(), render()));
  document.addEventListener("keydown", (event) => {
    if (state.tab !== "convolution" || event.target.matches("input") || event.ctrlKey || event.metaKey || event.altKey)
      return;
    const action = { ",": "back", ".": "on", n: "next", a: "all", p: "play" }[event.key];
    if (action) ACTIONS[action]();
  });
}

const isDark = () => (state.theme ? state.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);

read(location.href);
buildControls();
listen();
render();
