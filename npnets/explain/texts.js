// Words in the language of the page: English or Korean.

const byId = (id) => document.getElementById(id);
const DATA = JSON.parse(byId("data").textContent);

const language = () => state.language || (navigator.language.startsWith("ko") ? "ko" : "en");

// The text of this name, with {placeholders} filled in; some names have a text of their own for a `count` of one.
function text(name, values = {}) {
  const texts = DATA.texts[language()];
  const found = (values.count === 1 && texts[`${name}.one`]) || texts[name];
  return found.replace(/\{(\w+)\}/g, (_, key) => values[key]);
}

// Elements say by data-text, data-label and data-title which text they have.
function translate(root = document) {
  document.documentElement.lang = language();
  for (const element of root.querySelectorAll("[data-text]")) element.innerHTML = text(element.dataset.text);
  for (const element of root.querySelectorAll("[data-label]"))
    element.setAttribute("aria-label", (element.title = text(element.dataset.label)));
}

const whole = (number) => number.toLocaleString("en").replaceAll(",", "\u202f"); // 568 740 352
const minus = (number) => String(number).replace("-", "−");
