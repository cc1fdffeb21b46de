// Formulas: from one line of text to typeset HTML, with letters or with the numbers that stand for them.
//
//   G[k,l,n] = sum[i,j,m] K[i,j,m,n] F[s k + p, m]     X[..] and sum[..] have subscripts, juxtaposition multiplies,
//   1/N + 1/D_K^2                                      a/b is a fraction, a^2 a power, D_K one letter with an index

function formula(text, numbers = {}) {
  const tokens = text.match(/[\p{L}_′]+|[\d.]+|\S/gu);
  const skip = (token) => tokens[0] === token && tokens.shift();
  const tag = (name, inside) => `<${name}>${inside}</${name}>`;
  const span = (kind, ...parts) => `<span class="${kind}">${parts.join("")}</span>`;

  const sum = () => {
    let html = term();
    while ("+-".includes(tokens[0] ?? "=")) html += ` ${tokens.shift().replace("-", "−")} ${term()}`;
    return html;
  };

  // Products: a dot between two numbers, a thin space between letters.
  const term = () => {
    const factors = [atom()];
    while (tokens.length && !"=+-,])".includes(tokens[0]))
      factors.push(skip("/") ? fraction(factors.pop(), atom()) : atom());
    return factors
      .map(({ html, number }, at) => (at ? (number && factors[at - 1].number ? " · " : "&thinsp;") : "") + html)
      .join("");
  };

  const atom = () => {
    const token = tokens.shift();
    if (token === "(") return { html: `(${list(")")})`, brackets: true };
    if (token === "sum") return (skip("["), { html: span("sum", "∑", tag("small", list("]"))) + " " });
    const number = token in numbers || /\d/.test(token);
    const [base, index] = number ? [numbers[token] ?? token] : name(token);
    const below = skip("[") ? list("]") : index;
    const above = skip("^") && atom().html;
    const scripts = [above && tag("sup", above), below && tag("sub", below)].filter(Boolean);
    const attached = scripts.length > 1 ? span("scripts", ...scripts) : scripts.join("");
    return { html: span("one", base, attached), number };
  };

  const name = (token) => {
    const [letters, index] = token.split("_");
    const gradient = /^d[FKGSDPĜ]$/u.test(letters);
    return [(gradient ? "d" : "") + tag("var", gradient ? letters.slice(1) : letters), index && tag("var", index)];
  };

  const list = (close) => {
    let html = sum();
    while (skip(",")) html += `, ${sum()}`;
    skip(close);
    return html;
  };

  const fraction = (above, below) => ({
    html: span("fraction", tag("span", bare(above)), tag("span", bare(below))),
    number: above.number && below.number,
  });

  const bare = ({ html, brackets }) => (brackets ? html.slice(1, -1) : html); // (a)/b needs no brackets

  let html = sum();
  while (skip("=")) html += ` = ${sum()}`;
  const filled = text.replace(/[\p{L}_′]+/gu, (name) => numbers[name] ?? name);
  const spoken = filled.replace(/(?<=\d) (?=\d)/g, " · ");
  return `<span class="math" role="math" aria-label="${spoken}">${html}</span>`;
}
