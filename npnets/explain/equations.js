// The equations of npnets.ops, one entry at a time.
//
// `terms` is the inside of the Python `loops` of the same equation: for one entry of the array on the left it yields
// [variables, factor, factor], a factor being [array, ...index]. A tap that the loops skip has no factors.
// As in npnets.ops d before a name is the gradient of the loss by it, and the indices count from 0.

const { floor } = Math;
const inside = (r, c, H, W) => 0 <= r && r < H && 0 <= c && c < W;

const conv2d = {
  K: { shape: ({ D, M, N }) => [D, D, M, N] },
  G: {
    loops: "conv2d._loops",
    from: ["K", "F"],
    formula: ({ g }) => `G[k,l,n] = sum[i,j,m] K[i,j,m,n] F[s k + d i - p, s l + d j - p, ${g > 1 ? "q_n + m" : "m"}]`,
    shape: ({ Ho, Wo, N }) => [Ho, Wo, N],
    *terms({ H, W, D, M, N, s, p, d, g }, [k, l, n]) {
      const q = floor(n / (N / g)) * M;
      for (let i = 0; i < D; i++)
        for (let j = 0; j < D; j++) {
          const [r, c] = [s * k + d * i - p, s * l + d * j - p];
          if (inside(r, c, H, W))
            for (let m = 0; m < M; m++) yield [{ i, j, r, c, m }, ["K", i, j, m, n], ["F", r, c, q + m]];
          else yield [{ i, j, r, c }];
        }
    },
    variables: ({ M, N, g }, [k, l, n]) => ({ k, l, n, q: floor(n / (N / g)) * M }),
  },
  dK: {
    loops: "conv2d._loops_dweight",
    from: ["dG", "F"],
    formula: ({ g }) => `dK[i,j,m,n] = sum[k,l] dG[k,l,n] F[s k + d i - p, s l + d j - p, ${g > 1 ? "q_n + m" : "m"}]`,
    shape: ({ D, M, N }) => [D, D, M, N],
    *terms({ H, W, Ho, Wo, M, N, s, p, d, g }, [i, j, m, n]) {
      const q = floor(n / (N / g)) * M;
      for (let k = 0; k < Ho; k++)
        for (let l = 0; l < Wo; l++) {
          const [r, c] = [s * k + d * i - p, s * l + d * j - p];
          if (inside(r, c, H, W)) yield [{ k, l, r, c }, ["dG", k, l, n], ["F", r, c, q + m]];
          else yield [{ k, l, r, c }];
        }
    },
    variables: ({ M, N, g }, [i, j, m, n]) => ({ i, j, m, n, q: floor(n / (N / g)) * M }),
  },
  dF: {
    loops: "conv2d._loops_dx",
    from: ["K", "dG"],
    formula: ({ g }) => `dF[r,c,${g > 1 ? "q" : "m"}] = sum[i,j,n] K[i,j,m,n] dG[(r + p - d i)/s, (c + p - d j)/s, n]`,
    where: ({ g }) => ["whole", ...(g > 1 ? ["groupOfInput"] : [])],
    shape: ({ H, W, C }) => [H, W, C],
    *terms({ Ho, Wo, D, M, N, s, p, d, g }, [r, c, q]) {
      const [m, first] = [q % M, floor(q / M) * (N / g)];
      for (let i = 0; i < D; i++)
        for (let j = 0; j < D; j++) {
          const [k, l] = [floor((r + p - d * i) / s), floor((c + p - d * j) / s)];
          const met = s * k + d * i - p === r && s * l + d * j - p === c;
          if (met && inside(k, l, Ho, Wo))
            for (let n = first; n < first + N / g; n++) yield [{ i, j, k, l, n }, ["K", i, j, m, n], ["dG", k, l, n]];
          else yield [{ i, j, k, l }];
        }
    },
    variables: ({ M, N, g }, [r, c, q]) => ({ r, c, q, m: q % M, first: floor(q / M) * (N / g) }),
  },
};

const depthwise = {
  K: { shape: ({ D, C }) => [D, D, C] },
  G: {
    loops: "depthwise._loops",
    from: ["K", "F"],
    formula: () => "G[k,l,m] = sum[i,j] K[i,j,m] F[s k + d i - p, s l + d j - p, m]",
    shape: ({ Ho, Wo, C }) => [Ho, Wo, C],
    *terms({ H, W, D, s, p, d }, [k, l, m]) {
      for (let i = 0; i < D; i++)
        for (let j = 0; j < D; j++) {
          const [r, c] = [s * k + d * i - p, s * l + d * j - p];
          if (inside(r, c, H, W)) yield [{ i, j, r, c }, ["K", i, j, m], ["F", r, c, m]];
          else yield [{ i, j, r, c }];
        }
    },
    variables: (_, [k, l, m]) => ({ k, l, m }),
  },
  dK: {
    loops: "depthwise._loops_dweight",
    from: ["dG", "F"],
    formula: () => "dK[i,j,m] = sum[k,l] dG[k,l,m] F[s k + d i - p, s l + d j - p, m]",
    shape: ({ D, C }) => [D, D, C],
    *terms({ H, W, Ho, Wo, s, p, d }, [i, j, m]) {
      for (let k = 0; k < Ho; k++)
        for (let l = 0; l < Wo; l++) {
          const [r, c] = [s * k + d * i - p, s * l + d * j - p];
          if (inside(r, c, H, W)) yield [{ k, l, r, c }, ["dG", k, l, m], ["F", r, c, m]];
          else yield [{ k, l, r, c }];
        }
    },
    variables: (_, [i, j, m]) => ({ i, j, m }),
  },
  dF: {
    loops: "depthwise._loops_dx",
    from: ["K", "dG"],
    formula: () => "dF[r,c,m] = sum[i,j] K[i,j,m] dG[(r + p - d i)/s, (c + p - d j)/s, m]",
    where: () => ["whole"],
    shape: ({ H, W, C }) => [H, W, C],
    *terms({ Ho, Wo, D, s, p, d }, [r, c, m]) {
      for (let i = 0; i < D; i++)
        for (let j = 0; j < D; j++) {
          const [k, l] = [floor((r + p - d * i) / s), floor((c + p - d * j) / s)];
          const met = s * k + d * i - p === r && s * l + d * j - p === c;
          if (met && inside(k, l, Ho, Wo)) yield [{ i, j, k, l }, ["K", i, j, m], ["dG", k, l, m]];
          else yield [{ i, j, k, l }];
        }
    },
    variables: (_, [r, c, m]) => ({ r, c, m }),
  },
};

const pointwise = {
  K: { shape: ({ C, N }) => [C, N] },
  G: {
    loops: "pointwise._loops",
    from: ["K", "F"],
    formula: () => "G[k,l,n] = sum[m] K[m,n] F[k,l,m]",
    shape: ({ Ho, Wo, N }) => [Ho, Wo, N],
    *terms({ C }, [k, l, n]) {
      for (let m = 0; m < C; m++) yield [{ m }, ["K", m, n], ["F", k, l, m]];
    },
    variables: (_, [k, l, n]) => ({ k, l, n, q: 0 }),
  },
  dK: {
    loops: "pointwise._loops_dweight",
    from: ["F", "dG"],
    formula: () => "dK[m,n] = sum[k,l] F[k,l,m] dG[k,l,n]",
    shape: ({ C, N }) => [C, N],
    *terms({ Ho, Wo }, [m, n]) {
      for (let k = 0; k < Ho; k++) for (let l = 0; l < Wo; l++) yield [{ k, l }, ["F", k, l, m], ["dG", k, l, n]];
    },
    variables: (_, [m, n]) => ({ m, n, q: 0 }),
  },
  dF: {
    loops: "pointwise._loops_dx",
    from: ["K", "dG"],
    formula: () => "dF[k,l,m] = sum[n] K[m,n] dG[k,l,n]",
    shape: ({ Ho, Wo, C }) => [Ho, Wo, C],
    *terms({ N }, [k, l, m]) {
      for (let n = 0; n < N; n++) yield [{ n }, ["K", m, n], ["dG", k, l, n]];
    },
    variables: (_, [k, l, m]) => ({ k, l, m, q: m, first: 0 }),
  },
};

// The loops go through groups a and channels j of a group, so that the entries come in that order, too. The gradient is
// the shuffle with n = N / g groups: those loops again, with g and n exchanged.
const shuffle = {
  S: {
    loops: "channel_shuffle._loops",
    from: ["G"],
    formula: () => "S[k,l,j g + a] = G[k,l,a n + j]",
    shape: ({ Ho, Wo, N }) => [Ho, Wo, N],
    *order({ Ho, Wo, N, g }) {
      for (let k = 0; k < Ho; k++)
        for (let l = 0; l < Wo; l++)
          for (let a = 0; a < g; a++) for (let j = 0; j < N / g; j++) yield [k, l, j * g + a];
    },
    *terms({ N, g }, [k, l, channel]) {
      const a = channel % g;
      const j = floor(channel / g);
      const n = N / g;
      yield [{}, ["G", k, l, a * n + j]];
    },
    variables: ({ N, g }, [k, l, channel]) => ({ k, l, n: N / g, g, a: channel % g, j: floor(channel / g) }),
  },
  dG: {
    loops: "channel_shuffle._loops",
    from: ["dS"],
    formula: () => "dG[k,l,j n + a] = dS[k,l,a g + j]",
    where: () => ["inverse"],
    shape: ({ Ho, Wo, N }) => [Ho, Wo, N],
    *order({ Ho, Wo, N, g }) {
      const n = N / g;
      for (let k = 0; k < Ho; k++)
        for (let l = 0; l < Wo; l++) for (let a = 0; a < n; a++) for (let j = 0; j < g; j++) yield [k, l, j * n + a];
    },
    *terms({ N, g }, [k, l, channel]) {
      const n = N / g;
      const a = channel % n;
      const j = floor(channel / n);
      yield [{}, ["dS", k, l, a * g + j]];
    },
    variables: ({ N, g }, [k, l, channel]) => ({
      k,
      l,
      n: N / g,
      g,
      a: channel % (N / g),
      j: floor(channel / (N / g)),
    }),
  },
};

// The same equations with other letters: `names` says which stands for F, K and G.
function renamed(equations, names) {
  const letters = (text) => text.replace(/[FKG]/g, (letter) => names[letter] ?? letter);
  const entries = Object.entries(equations).map(([name, equation]) => {
    if (!equation.terms) return [letters(name), equation];
    return [
      letters(name),
      {
        ...equation,
        names,
        from: equation.from.map(letters),
        formula: (z) => letters(equation.formula(z)),
        *terms(z, index) {
          for (const [variables, ...factors] of equation.terms(z, index))
            yield [variables, ...factors.map(([array, ...at]) => [letters(array), ...at])];
        },
      },
    ];
  });
  return Object.fromEntries(entries);
}

// What is drawn from left to right, and what computes it. Arrays that nothing computes are given, the gradient of the
// last one among them.
const KINDS = {
  standard: { arrays: ["F", "K", "G"], equations: conv2d },
  depthwise: { arrays: ["F", "K", "G"], equations: depthwise },
  pointwise: { arrays: ["F", "K", "G"], equations: pointwise },
  separable: {
    arrays: ["F", "D", "Ĝ", "P", "G"],
    equations: { ...renamed(depthwise, { K: "D", G: "Ĝ" }), ...renamed(pointwise, { K: "P", F: "Ĝ" }) },
  },
  group: { arrays: ["F", "K", "G"], equations: conv2d },
  shuffle: { arrays: ["F", "K", "G", "S"], equations: { ...conv2d, ...shuffle } },
};

const isGradient = (name) => name.startsWith("d");
const letter = (name) => name.replace(/^d/, "");

// -- sizes and numbers ------------------------------------------------------------------------------------------------

// Everything that a setting says about sizes, with the letters of the formulas: side D of the kernel, C and M input
// channels, in all and of a group, N output channels, Ho and Wo rows and columns of the output.
function sizes({ kind, H, W, D, s, p, d, C, N, g }) {
  if (kind === "pointwise") [D, s, p, d] = [1, 1, 0, 1];
  if (kind === "depthwise") N = C;
  if (!grouped(kind)) g = 1;
  const side = (length) => floor((length + 2 * p - d * (D - 1) - 1) / s) + 1;
  return { H, W, D, s, p, d, C, N, g, M: C / g, Ho: side(H), Wo: side(W) };
}

const grouped = (kind) => kind === "group" || kind === "shuffle";

function* indices([length, ...rest]) {
  for (let at = 0; at < length; at++)
    if (rest.length) for (const more of indices(rest)) yield [at, ...more];
    else yield [at];
}

const offset = (shape, index) => index.reduce((sum, at, axis) => sum * shape[axis] + at, 0);
const entry = ({ shape, data }, index) => data[offset(shape, index)];

// All arrays of a kind by name: small whole numbers for what is given, the sums of products for the others.
function compute({ kind, seed }, z) {
  const { equations } = KINDS[kind];
  const arrays = {};
  const given = (name) => {
    const like = equations[name] ?? equations[letter(name)] ?? { shape: ({ H, W, C }) => [H, W, C] };
    const shape = like.shape(z);
    const random = generator(seed, name);
    const [low, high] = name === "F" ? [0, 4] : [-2, 2];
    return { shape, data: Array.from(indices(shape), () => low + floor(random() * (high - low + 1))) };
  };
  const solve = (name) => {
    const { shape, terms, from } = equations[name];
    from.forEach(get);
    const sum = (index) => {
      let total = 0;
      for (const [, ...factors] of terms(z, index)) total += product(factors, arrays);
      return total;
    };
    return { shape: shape(z), data: Array.from(indices(shape(z)), sum) };
  };
  const get = (name) => (arrays[name] ??= equations[name]?.terms ? solve(name) : given(name));
  KINDS[kind].arrays.forEach((name) => (get(name), get(`d${name}`)));
  return arrays;
}

const product = (factors, arrays) =>
  factors.length ? factors.reduce((result, [name, ...index]) => result * entry(arrays[name], index), 1) : 0;

// Random numbers from 0 to 1, the same for the same seed and name (mulberry32).
function generator(seed, name) {
  let state = [...name].reduce((sum, character) => sum * 31 + character.codePointAt(0), seed * 7919) | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
