// What it costs: mult-adds by the papers' formulas, M and N being input and output channels.

const MULT_ADDS = {
  standard: ({ D, C, N, Ho, Wo }) => D * D * C * N * Ho * Wo,
  group: ({ D, M, N, Ho, Wo }) => D * D * M * N * Ho * Wo,
  depthwise: ({ D, C, Ho, Wo }) => D * D * C * Ho * Wo,
  pointwise: ({ C, N, Ho, Wo }) => C * N * Ho * Wo,
};
const COST_FORMULAS = {
  standard: "D_K^2 M N H′ W′",
  depthwise: "D_K^2 M H′ W′",
  pointwise: "M N H′ W′",
  separable: "D_K^2 M H′ W′ + M N H′ W′",
  group: "D_K^2 C/g N H′ W′",
  shuffle: "D_K^2 C/g N H′ W′",
};
const PARTS = { separable: ["depthwise", "pointwise"], shuffle: ["group"] };
const parts = (kind) => PARTS[kind] ?? [kind];
const total = (kind, z) => parts(kind).reduce((sum, part) => sum + MULT_ADDS[part](z), 0);

// How many of the mult-adds the loops skip, as their tap lies outside of the image.
function skipped(kind, z) {
  const covered = (length, outputs) => {
    let count = 0;
    for (let k = 0; k < outputs; k++)
      for (let i = 0; i < z.D; i++) count += inside(z.s * k + z.d * i - z.p, 0, length, 1);
    return count;
  };
  const share = (covered(z.H, z.Ho) * covered(z.W, z.Wo)) / (z.D * z.D * z.Ho * z.Wo);
  const windowed = parts(kind)[0] === "pointwise" ? 0 : MULT_ADDS[parts(kind)[0]](z);
  return Math.round(windowed * (1 - share));
}

const bar = (share, name = "on") => `<i class="${name}" style="width: ${100 * share}%"></i>`;

function paintCost() {
  const z = sizes(state);
  const { kind } = state;
  const mine = total(kind, z);
  const most = Math.max(total("standard", z), total("separable", z));
  const values = { D_K: z.D, M: z.C, C: z.C, N: z.N, "H′": z.Ho, "W′": z.Wo, g: z.g };
  byId("cost-formula").innerHTML =
    `${formula(COST_FORMULAS[kind])} = ${formula(COST_FORMULAS[kind], values)} = <b>${whole(mine)}</b>`;
  const without = skipped(kind, z);
  byId("cost-run").textContent = without
    ? text("cost.skipped", { skipped: whole(without), run: whole(mine - without) })
    : "";
  const rows = ["standard", ...(grouped(kind) ? ["group"] : []), "separable"];
  byId("bars").innerHTML = rows
    .map((row) => {
      const counts = parts(row).map((part) => MULT_ADDS[part](z));
      const bars = parts(row).map((part, at) =>
        bar(counts[at] / most, parts(kind).includes(part) ? `${part} on` : part),
      );
      const sum = counts.length > 1 ? ` <small>${counts.map(whole).join(" + ")}</small>` : "";
      return `<li data-kind="${row}"><span>${text(`kind.${row}`)}${sum}</span><b>${whole(total(row, z))}</b>
        <div class="bar">${bars.join("")}</div></li>`;
    })
    .join("");
  paintRatio(kind, z);
}

function paintRatio(kind, z) {
  const bygroups = grouped(kind);
  const line = bygroups ? "1/g" : "1/N + 1/D_K^2";
  const ratio = bygroups ? 1 / z.g : 1 / z.N + 1 / z.D ** 2;
  byId("ratio-of").textContent = text(bygroups ? "ratio.group" : "ratio.separable");
  byId("ratio").innerHTML =
    `${formula(line)} = ${formula(line, { N: z.N, D_K: z.D, g: z.g })} = <b>${ratio.toFixed(3)}</b>`;
}
