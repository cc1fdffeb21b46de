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
    while (tokens.length && !"=+-,])".includes(tokens[0])) {
      const above = skip("/") && factors.pop();
      const next = atom();
      factors.push(
        above
          ? {
              html: span("fraction", tag("span", bare(above)), tag("span", bare(next))),
              number: above.number && next.number,
            }
          : next,
      );
    }
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
    const scripts =
      below && above
        ? span("scripts", tag("sup", above), tag("sub", below))
        : below
          ? tag("sub", below)
          : above
            ? tag("sup", above)
            : "";
    return { html: span("one", base, scripts), number };
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

  const bare = ({ html, brackets }) => (brackets ? html.slice(1, -1) : html); // (a)/b needs no brackets

  let html = sum();
  while (skip("=")) html += ` = ${sum()}`;
  return `<span class="math" role="math">${html}</span>`;
}
