// The sum written out, the formula with the numbers in it, and the loops with the line that runs.

const signed = (number) => (number < 0 ? `(${minus(number)})` : `${number}`);
const named = (name, index) => `${name}[${index.join(", ")}]`;

function paintSum(seen) {
  const { equation, index, arrays, terms, step, total } = seen;
  const value = ([name, ...at]) => entry(arrays[name], at);
  byId("result").innerHTML =
    `<b class="${role(letter(state.see))}">${named(state.see, index)}</b> = <strong>${minus(total)}</strong>`;
  const count = terms.filter(([, ...factors]) => factors.length).length;
  byId("says").textContent = says(seen, count);
  byId("terms").innerHTML = terms
    .map(([, ...factors], place) => {
      const when = step && place >= step ? "later" : place === step - 1 ? "now" : "";
      if (!factors.length) return `<li class="skipped ${when}" title="${why(equation)}" data-place="${place}">–</li>`;
      const shown = factors.length > 1 ? signed : minus;
      const parts = factors.map((factor) => `<span class="${role(letter(factor[0]))}">${shown(value(factor))}</span>`);
      return `<li class="${when}" data-place="${place}">${parts.join("×")}</li>`;
    })
    .join("");
  paintTerm(seen);
  byId("progress").textContent = text(step ? "progress.step" : "progress.all", {
    step,
    count: terms.length,
    entry: order(equation, seen.z).findIndex((at) => at.join(".") === state.at) + 1,
    entries: order(equation, seen.z).length,
  });
}

// Why the loops skip a tap.
const why = (equation) => text(equation.loops.endsWith("_dx") ? "skipped.output" : "skipped");

// The product that the pointer rests on, or the last one that ran, with its indices.
function paintTerm({ equation, arrays, terms, current }) {
  const term = hot === null ? current : terms[hot];
  const line = byId("term");
  if (!term) return (line.textContent = terms[0]?.length === 2 ? "" : text("term.hint"));
  const [, ...factors] = term;
  if (!factors.length) return (line.textContent = why(equation));
  const names = factors.map(([name, ...index]) => `<b class="${role(letter(name))}">${named(name, index)}</b>`);
  const shown = factors.length > 1 ? signed : minus;
  const values = factors.map(([name, ...index]) => shown(entry(arrays[name], index)));
  const result = factors.length > 1 ? ` = ${minus(product(factors, arrays))}` : "";
  line.innerHTML = `${names.join(" × ")} = ${values.join(" × ")}${result}`;
}

// What the sum means, in words.
function says({ equation, index, arrays, terms, step }, count) {
  if (step && step < terms.length) return text("says.partial", { step, steps: terms.length });
  const panel = letter(state.see);
  const from = equation.from.join(` ${text("and")} `);
  if (equation.from.length === 1) return text(isGradient(state.see) ? "says.back" : "says.copy", { from });
  if (!isGradient(state.see)) return text("says.sum", { count, from });
  const value = minus(entry(arrays[panel], index));
  const of = letter(equation.from.find(isGradient));
  return text("says.gradient", { name: named(panel, index), value, count, of, gradient: state.see });
}

// Spoken once the pointer rests.
let speaking;
function speak({ equation, index, arrays, terms, total, step, current }) {
  clearTimeout(speaking);
  speaking = setTimeout(() => {
    const products = (step ? [current] : terms).map(([, ...factors]) => factors).filter((factors) => factors.length);
    const words = products
      .slice(0, 12)
      .map((factors) => factors.map(([name, ...at]) => entry(arrays[name], at)).join(" × "));
    if (products.length > 12) words.push("…");
    byId("live").textContent = `${named(state.see, index)} = ${total}. ${words.join(" + ") || why(equation)}`;
  }, 250);
}

function paintFormula({ z, equation, index }) {
  const values = { ...equation.variables(z, index), s: z.s, p: z.p, d: z.d };
  values.q_n = values.q;
  const line = equation.formula(z);
  byId("formula").innerHTML = formula(line);
  byId("formula-numbers").innerHTML = formula(line, values);
  byId("where").innerHTML = (equation.where?.(z) ?? []).map((name) => text(`where.${name}`)).join(" ");
}

// The real source of npnets. Beside each line that gives a variable its value stands that value.
function paintCode({ z, equation, index, current }) {
  const { file, lines } = DATA.loops[equation.loops];
  const values = { b: 0, ...equation.variables(z, index), ...current?.[0] };
  const runs = current && current.length === 1 ? lines.findIndex((line) => / if /.test(line)) : lines.length - 1;
  const stands = Object.entries(equation.names ?? {}).filter(([from, to]) => from !== to);
  byId("file").textContent = file;
  byId("stands").textContent = stands.length
    ? text("stands", { what: stands.map((pair) => pair.join(" = ")).join(", ") })
    : "";
  byId("code").innerHTML = lines
    .map((line, place) => {
      const [, names] = /^ *(?:for )?([\w, ]+?) (?:in|=) /.exec(line) ?? [];
      const known = names?.split(", ").filter((name) => name in values && place) ?? [];
      const shown = known.map((name) => `${name} = ${values[name]}`).join(", ");
      const code = escaped(line).replace(/^ +/, '<span class="indent">$&</span>');
      const runsNow = place === runs ? 'class="line runs" aria-current="true"' : 'class="line"';
      return `<span ${runsNow}>${code}${shown && `<i>${shown}</i>`}\n</span>`;
    })
    .join("");
}

const escaped = (line) => line.replaceAll("&", "&amp;").replaceAll("<", "&lt;");

function paintEquations() {
  const { equations, arrays } = KINDS[state.kind];
  const names = Object.keys(equations).filter((name) => equations[name].terms);
  names.sort(
    (one, other) => isGradient(one) - isGradient(other) || arrays.indexOf(letter(one)) - arrays.indexOf(letter(other)),
  );
  byId("equations").innerHTML = names
    .map(
      (name) =>
        `<button role="radio" aria-checked="${name === state.see}" tabindex="${name === state.see ? 0 : -1}" data-see="${name}"
      title="${text(isGradient(name) ? "gradient.of" : "forward.of", { name: letter(name) })}">${name}</button>`,
    )
    .join("");
}

// -- running the loops ------------------------------------------------------------------------------------------------

// One product on or back; over the end into the next or the previous entry.
function stride(by) {
  const { z, equation, index, terms, step } = view();
  const entries = order(equation, z);
  const next = step + by;
  if (1 <= next && next <= terms.length) return go({ step: next });
  jump(by, by > 0 ? 1 : Infinity);
}

// To the entry after or before this one, in the loops' order.
function jump(by, step) {
  const { z, equation } = view();
  const entries = order(equation, z);
  const at = entries.findIndex((one) => one.join(".") === state.at) + by;
  if (at < 0 || at >= entries.length) return stop();
  const count = [...equation.terms(z, entries[at])].length;
  go({ at: entries[at].join("."), step: Math.min(step, count) });
}

function start() {
  const { z, equation } = view();
  go({ at: order(equation, z)[0].join("."), step: 1 });
}

let timer = null;
let speed = 1;

function play() {
  if (timer) return stop();
  if (!state.step) go({ step: 1 });
  timer = setInterval(() => stride(1), 640 / speed);
  paintPlay();
}

function stop() {
  clearInterval(timer);
  timer = null;
  paintPlay();
}

function paintPlay() {
  const button = byId("play");
  button.classList.toggle("running", timer !== null);
  button.dataset.label = timer ? "pause" : "play";
  button.setAttribute("aria-label", (button.title = text(button.dataset.label)));
  byId("speed").textContent = `${speed}×`;
}

const ACTIONS = {
  start: () => (stop(), start()),
  back: () => (stop(), stride(-1)),
  play,
  on: () => (stop(), stride(1)),
  next: () => (stop(), jump(1, state.step ? 1 : 0)),
  all: () => (stop(), go({ step: 0 })),
  speed: () => {
    speed = speed === 16 ? 1 : speed * 4;
    if (timer) (stop(), play());
    paintPlay();
  },
};

byId("steps").addEventListener("click", (event) => ACTIONS[event.target.closest("button")?.dataset.action]?.());
const list = byId("terms");
const over = (event) => {
  const place = event.target.closest?.("li")?.dataset.place;
  hot = place === undefined ? null : Number(place);
  const seen = view();
  (paintStage(seen), paintTerm(seen));
};
list.addEventListener("pointerover", over);
list.addEventListener("pointerleave", () => over({ target: list }));
list.addEventListener("click", (event) => {
  const place = event.target.closest("li")?.dataset.place;
  if (place !== undefined) (stop(), go({ step: Number(place) + 1 }));
});
