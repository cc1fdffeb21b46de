// What the browser tests of `npnets explain` ask the page: all that it shows, as plain data. Loaded before the page.

const text = (id) => document.getElementById(id).textContent;
const all = (selector) => [...document.querySelectorAll(selector)];

function read() {
  const panels = {};
  const used = [];
  for (const panel of all(".panel")) {
    const name = panel.querySelector("figcaption b").textContent;
    panels[name] = [...panel.querySelectorAll("td[data-at]")].map((cell) => [cell.dataset.at, cell.textContent]);
    for (const cell of panel.querySelectorAll("td.used"))
      used.push(`${name}[${cell.dataset.at.replaceAll(".", ", ")}]`);
  }
  return {
    panels,
    used,
    see: document.querySelector("#equations [aria-checked=true]").textContent,
    result: text("result"),
    says: text("says"),
    terms: all("#terms li").map((item) => item.textContent),
    term: text("term"),
    progress: text("progress"),
    runs: document.querySelector(".line.runs").textContent,
    values: all(".line i").map((item) => item.textContent),
    bars: Object.fromEntries(all("#bars li").map((item) => [item.dataset.kind, item.querySelector("b").textContent])),
    cost: document.querySelector("#cost-formula b").textContent,
    skipped: text("cost-run"),
    ratio: document.querySelector("#ratio b").textContent,
    sliders: Object.fromEntries(
      all("#sliders label:not([hidden])").map((label) => [
        label.dataset.slider,
        label.querySelector("output").textContent,
      ]),
    ),
  };
}

// For each equation of the kind in turn, after pointing at some entries: shares of the way from the first to the last.
function readAll(shares) {
  const views = [];
  for (const name of all("#equations button").map((button) => button.dataset.see)) {
    document.querySelector(`#equations [data-see="${name}"]`).click();
    const cells = all(".panel.target td[data-at]");
    for (const share of shares) {
      cells[Math.floor(share * cells.length)].click();
      views.push(read());
    }
  }
  return views;
}

// After each of so many steps of the loops.
function readSteps(count) {
  document.querySelector("#steps [data-action=start]").click();
  return Array.from({ length: count }, (_, at) => {
    if (at) document.querySelector("#steps [data-action=on]").click();
    return read();
  });
}

// What a link does; and wait until the page has followed.
const follow = (hash) =>
  new Promise((done) => {
    addEventListener("hashchange", () => setTimeout(done), { once: true });
    location.hash = hash;
  });

const visible = (element) => element.checkVisibility() && !element.matches(".unseen");

// Elements whose content is wider than they are.
const cut = () =>
  all("button, p, h2, label, figcaption, #bars li")
    .filter((one) => visible(one) && one.scrollWidth > one.clientWidth + 1)
    .map((one) => one.outerHTML);

// What a screen reader would meet without knowing what it is.
const nameless = () =>
  all("button, input, [role]:not([role=math]), pre[tabindex]")
    .filter((one) => visible(one) && !one.ariaLabel && !one.getAttribute("aria-labelledby"))
    .filter((one) => !one.textContent.trim() && !one.labels?.[0]?.textContent)
    .map((one) => one.outerHTML);

// Texts whose contrast with what is behind them is less than WCAG's 4.5.
function faint() {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const mixed = (colours) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const colour of colours) {
      canvas.fillStyle = colour;
      canvas.fillRect(0, 0, 1, 1);
    }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const linear = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  const luminance = (rgb) =>
    [0.2126, 0.7152, 0.0722].reduce((sum, weight, at) => sum + weight * linear(rgb[at] / 255), 0);
  return all("body *").flatMap((element) => {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !visible(element) || element.closest("svg, .outside, .later, [aria-hidden=true]")) return [];
    const behind = [];
    for (let at = element; at; at = at.parentElement) behind.unshift(getComputedStyle(at).backgroundColor);
    const back = luminance(mixed(behind));
    const ink = luminance(mixed([...behind, getComputedStyle(element).color]));
    const ratio = (Math.max(back, ink) + 0.05) / (Math.min(back, ink) + 0.05);
    return ratio < 4.5 ? [`${element.outerHTML.slice(0, 80)}: ${ratio.toFixed(2)}`] : [];
  });
}

Object.assign(globalThis, { read, readAll, readSteps, follow, cut, nameless, faint });
