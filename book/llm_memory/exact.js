// Exact expressions in the page: JSON trees of the list in tree.py, evaluated with BigInt
// and exact rationals; anything else is refused. And how numbers and trees are written.
//
// globalThis.EveryByte.exact has what the other scripts take from here;
// EveryByte.evaluate(tree, values) gives an exact value as text: "7", "3/2", "true".
(() => {
  "use strict";

  // ---- Exact numbers: a BigInt, or {n, d} in lowest terms with d > 1.

  const DEPTH = 100, POWER = 512, DIGITS = 4000;
  const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

  function refuse(message, tree) {
    const shown = tree === undefined ? "" : `: ${JSON.stringify(tree)}`.slice(0, 120);
    throw new Error(message + shown);
  }

  const above = (x) => (typeof x === "bigint" ? x : x.n);
  const below = (x) => (typeof x === "bigint" ? 1n : x.d);

  function ratio(n, d) {
    if (d === 0n) refuse("divides by zero");
    let x = n < 0n ? -n : n, y = d < 0n ? -d : d;
    while (y) [x, y] = [y, x % y];
    if (d < 0n) x = -x;
    return d === x ? n / x : { n: n / x, d: d / x };
  }

  function floorDivide(n, d) {
    const quotient = n / d;
    return n % d !== 0n && n < 0n !== d < 0n ? quotient - 1n : quotient;
  }

  const whole = (x, y) => typeof x === "bigint" && typeof y === "bigint";
  const add = (x, y) => whole(x, y) ? x + y
    : ratio(above(x) * below(y) + above(y) * below(x), below(x) * below(y));
  const multiply = (x, y) => whole(x, y) ? x * y
    : ratio(above(x) * above(y), below(x) * below(y));
  const negative = (x) => (typeof x === "bigint" ? -x : { n: -x.n, d: x.d });
  const subtract = (x, y) => add(x, negative(y));
  const divide = (x, y) => ratio(above(x) * below(y), below(x) * above(y));
  const floor = (x) => (typeof x === "bigint" ? x : floorDivide(x.n, x.d));
  const ceiling = (x) => negative(floor(negative(x)));
  const modulo = (x, y) => subtract(x, multiply(y, floor(divide(x, y))));
  const power = (x, e) => typeof x === "bigint" ? x ** e : ratio(x.n ** e, x.d ** e);
  function compare(x, y) {
    const left = above(x) * below(y), right = above(y) * below(x);
    return left < right ? -1 : left > right ? 1 : 0;
  }

  // ---- Trees. `compile` checks a tree and returns a function of a Map of values.

  const NUMERIC = {
    "+": [1, Infinity, (list) => list.reduce(add)],
    "*": [1, Infinity, (list) => list.reduce(multiply)],
    "-": [1, 2, ([x, y]) => (y === undefined ? negative(x) : subtract(x, y))],
    "/": [2, 2, ([x, y]) => divide(x, y)],
    mod: [2, 2, ([x, y]) => modulo(x, y)],
    floor: [1, 1, ([x]) => floor(x)],
    ceiling: [1, 1, ([x]) => ceiling(x)],
    min: [1, Infinity, (list) => list.reduce((x, y) => (compare(y, x) < 0 ? y : x))],
    max: [1, Infinity, (list) => list.reduce((x, y) => (compare(y, x) > 0 ? y : x))],
    "<": [2, 2, ([x, y]) => compare(x, y) < 0],
    "<=": [2, 2, ([x, y]) => compare(x, y) <= 0],
    ">": [2, 2, ([x, y]) => compare(x, y) > 0],
    ">=": [2, 2, ([x, y]) => compare(x, y) >= 0],
    "==": [2, 2, ([x, y]) => compare(x, y) === 0],
    "!=": [2, 2, ([x, y]) => compare(x, y) !== 0],
  };
  const SPECIAL = {
    int: [1, 1, compileInteger],
    "^": [2, 2, compilePower],
    and: [1, Infinity, compileJunction],
    or: [1, Infinity, compileJunction],
    not: [1, 1, ([, tree], depth) => {
      const run = condition(tree, depth);
      return (values) => !run(values);
    }],
    piecewise: [1, Infinity, compilePiecewise],
  };

  function compile(tree, depth = DEPTH) {
    if (typeof tree === "boolean") return () => tree;
    if (typeof tree === "number") {
      if (!Number.isSafeInteger(tree)) refuse("is not an exact integer", tree);
      const value = BigInt(tree);
      return () => value;
    }
    if (typeof tree === "string") return compileName(tree);
    if (!Array.isArray(tree)) refuse("is not a tree", tree);
    const head = tree[0];
    const isListed = (table) => typeof head === "string" && Object.hasOwn(table, head);
    const table = [NUMERIC, SPECIAL].find(isListed);
    if (!table) refuse("is not a listed operator", head);
    const [fewest, most, build] = table[head];
    const count = tree.length - 1;
    if (count < fewest || count > most) refuse("takes another number of arguments", tree);
    if (depth <= 0) refuse(`is nested deeper than ${DEPTH}`);
    if (table === SPECIAL) return build(tree, depth - 1);
    const parts = tree.slice(1).map((part) => number(part, depth - 1));
    return (values) => build(parts.map((part) => part(values)));
  }

  function number(tree, depth) {
    const run = compile(tree, depth);
    return (values) => {
      const value = run(values);
      if (typeof value === "boolean") refuse("is a condition, not a number", tree);
      return value;
    };
  }

  function condition(tree, depth) {
    const run = compile(tree, depth);
    return (values) => {
      const value = run(values);
      if (typeof value !== "boolean") refuse("is a number, not a condition", tree);
      return value;
    };
  }

  function compileName(name) {
    if (!NAME.test(name)) refuse("is not a name", name);
    return (values) => {
      if (!values.has(name)) refuse("has no value", name);
      return values.get(name);
    };
  }

  function compileInteger(tree) {
    const digits = tree[1];
    const isLegal = typeof digits === "string" && /^-?[0-9]+$/.test(digits);
    if (!isLegal || digits.length > DIGITS) refuse("is not an integer", tree);
    const value = BigInt(digits);
    return () => value;
  }

  function compilePower([, tree, exponent], depth) {
    const isLegal = Number.isInteger(exponent) && exponent >= 0 && exponent <= POWER;
    if (!isLegal) refuse(`is not an exponent from 0 to ${POWER}`, exponent);
    const base = number(tree, depth), e = BigInt(exponent);
    return (values) => power(base(values), e);
  }

  function compileJunction([head, ...trees], depth) {
    const runs = trees.map((tree) => condition(tree, depth));
    return head === "and"
      ? (values) => runs.every((run) => run(values))
      : (values) => runs.some((run) => run(values));
  }

  function compilePiecewise([, ...pairs], depth) {
    const runs = pairs.map((pair) => {
      if (!Array.isArray(pair) || pair.length !== 2) refuse("is not a pair", pair);
      return [compile(pair[0], depth), condition(pair[1], depth)];
    });
    return (values) => {
      const chosen = runs.find(([, holds]) => holds(values));
      if (!chosen) refuse("no condition holds");
      return chosen[0](values);
    };
  }

  function evaluate(tree, values) {
    const entries = Object.entries(values).map(([name, text]) => [name, BigInt(text)]);
    const value = compile(tree)(new Map(entries));
    return value.d ? `${value.n}/${value.d}` : String(value);
  }

  // ---- Text.

  const MINUS = "\u2212", TIMES = "\u202f\u00b7\u202f";

  const marked = (value) => String(value).replace(/\B(?=(\d{3})+$)/g, ",");

  // Exact: BigInt bytes over a unit, rounded half up to two places.
  function decimal(count, unit) {
    const hundredths = (count * 200n + unit) / (2n * unit);
    if (hundredths === 0n && count > 0n) return "< 0.01";
    const rest = String(hundredths % 100n).padStart(2, "0");
    return `${marked(hundredths / 100n)}.${rest}`;
  }

  const UNITS = [
    { from: 10n ** 9n, si: ["GB", 10n ** 9n], iec: ["GiB", 2n ** 30n] },
    { from: 10n ** 6n, si: ["MB", 10n ** 6n], iec: ["MiB", 2n ** 20n] },
    { from: 0n, si: ["kB", 10n ** 3n], iec: ["KiB", 2n ** 10n] },
  ];
  const unitsFor = (count) => UNITS.find((units) => count >= units.from);
  const inUnit = (count, [name, unit]) => `${decimal(count, unit)} ${name}`;
  const short = (count) => inUnit(count, unitsFor(count).si);

  // A tree as a reader writes it; "" where that would be long.
  const LEVEL = { "+": 1, "-": 1, "*": 2, "/": 2, "^": 4 };
  function formula(tree, level = 0) {
    if (!Array.isArray(tree)) {
      return typeof tree === "number" ? marked(tree).replace("-", MINUS) : String(tree);
    }
    const [head, ...parts] = tree;
    if (head === "int") return marked(parts[0]).replace("-", MINUS);
    if (!Object.hasOwn(LEVEL, head)) {
      if (head === "piecewise") return "…".repeat(99);
      return `${head}(${parts.map((part) => formula(part)).join(", ")})`;
    }
    const own = LEVEL[head];
    const texts = parts.map((part, i) => formula(part, own + (i && head === "/" ? 1 : 0)));
    const joint = { "+": " + ", "-": ` ${MINUS} `, "*": TIMES, "/": "\u202f/\u202f" }[head];
    let text = head === "^" ? `${texts[0]}^${texts[1]}` : texts.join(joint);
    if (head === "-" && texts.length === 1) text = MINUS + texts[0];
    return own < level ? `(${text})` : text;
  }

  // ---- Elements, made by name and filled with text, never with HTML.

  function make(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  }

  // Writing costs a new layout even if nothing differs, so only differences are written;
  // and another text node costs new styles, so the one that is there gets other data.
  function setText(node, text) {
    const { firstChild, lastChild } = node;
    if (text && firstChild?.data !== undefined && firstChild === lastChild) {
      if (firstChild.data !== text) firstChild.data = text;
    } else if (node.textContent !== text) node.textContent = text;
  }

  // On a phone there is no room: digits may wrap after a comma.
  const phone = matchMedia("(max-width: 600px)");
  function setDigits(node, text) {
    if (!phone.matches) return setText(node, text);
    const groups = text.split(/(?<=,)/);
    if (node.textContent === text && node.childNodes.length === 2 * groups.length - 1) return;
    node.replaceChildren(...groups.flatMap((group, i) => (i ? [make("wbr"), group] : [group])));
  }

  globalThis.EveryByte = {
    ...globalThis.EveryByte,
    evaluate,
    exact: {
      NAME, refuse, compile, marked, decimal, unitsFor, inUnit, short, formula,
      make, setText, setDigits, phone,
    },
  };
})();
