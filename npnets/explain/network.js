// A network's layers as one photograph went through them: what they put out, their kernels, and what they cost.

function paintNetwork() {
  const { name, source, photo, classes, input, layers, mult_adds, parameters } = DATA.network;
  const at = clamp(state.layer, 0, layers.length - 1);
  const layer = layers[at];
  byId("photo").src = photo;
  byId("photo").alt = text("network.photo");
  byId("network-name").textContent = name;
  byId("network-total").textContent = text("network.total", {
    source,
    input: input.join(" × "),
    mult_adds: whole(mult_adds),
    parameters: whole(parameters),
  });
  byId("classes").innerHTML = classes
    .map(
      ({ name, probability }) =>
        `<li><span>${escaped(name)}</span> <b>${percent(probability)}</b>
        <div class="bar">${bar(probability)}</div></li>`,
    )
    .join("");
  byId("layer-name").textContent = layer.name;
  byId("layer-says").textContent = text("network.layer", {
    kind: text(`layer.${layer.kind}`),
    input: layer.input.join(" × "),
    output: layer.output.join(" × "),
    detail: layer.detail,
  });
  picture("maps", layer.maps);
  picture("kernels", layer.kernels);
  if (!byId("layers").tBodies[0].rows.length || built !== language()) tabulate(DATA.network);
  for (const row of byId("layers").tBodies[0].rows) {
    row.classList.toggle("on", row.rowIndex === at + 1);
    const button = row.querySelector("button");
    button.setAttribute("aria-pressed", row.rowIndex === at + 1);
    button.tabIndex = row.rowIndex === at + 1 ? 0 : -1;
  }
}

const percent = (share) => `${(100 * share).toFixed(1)} %`;

function picture(id, drawn) {
  const figure = byId(id);
  figure.hidden = !drawn;
  if (!drawn) return;
  const caption = text(`network.${drawn.kind}`, {
    shown: drawn.shown,
    count: drawn.count,
    low: minus(drawn.low),
    high: minus(drawn.high),
  });
  figure.querySelector("figcaption").textContent = caption;
  Object.assign(figure.querySelector("img"), { src: drawn.image, alt: caption });
}

function tabulate({ layers, mult_adds }) {
  const most = Math.max(...layers.map((layer) => layer.mult_adds));
  const head = ["layer", "kind", "output", "parameters", "mult_adds", "share"];
  byId("layers").tHead.innerHTML =
    `<tr>${head.map((name) => `<th class="${name}">${text(`network.head.${name}`)}</th>`).join("")}</tr>`;
  byId("layers").tBodies[0].innerHTML = layers
    .map(
      (layer, place) =>
        `<tr data-layer="${place}"><td><button>${layer.name}</button></td>
        <td class="kind">${text(`layer.${layer.kind}`)}</td><td class="output">${layer.output.join(" × ")}</td>
        <td class="parameters">${whole(layer.parameters)}</td><td>${whole(layer.mult_adds)}</td>
        <td class="share"><div>${percent(layer.mult_adds / mult_adds)}
          <span class="bar">${bar(layer.mult_adds / most)}</span></div></td></tr>`,
    )
    .join("");
}

byId("layers").addEventListener("click", (event) => {
  const row = event.target.closest("tr[data-layer]");
  if (row) go({ layer: Number(row.dataset.layer) });
});
byId("layers").addEventListener("keydown", (event) => {
  const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  const buttons = [...byId("layers").querySelectorAll("button")];
  if (!by) return;
  event.preventDefault();
  buttons[clamp(buttons.indexOf(event.target) + by, 0, buttons.length - 1)].focus();
});
byId("layers").addEventListener("focusin", (event) => go({ layer: event.target.closest("tr").rowIndex - 1 }));
