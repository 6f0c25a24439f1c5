// A config.json as text: read as strictly as json_text.py does, with the same messages,
// which data from the library gives. Integers become BigInt, objects become Map, so that
// nothing is rounded, reordered or inherited.
//
// EveryByte.text has ConfigError, told, refuse, repr, isEqual, fill, decode and parse.
(() => {
  "use strict";

  const data = globalThis.EveryByteData;
  const LONGEST_REPR = 80;

  class ConfigError extends Error {}

  // As Python shows a ConfigError: field = value: rule.
  function told(field, value, rule) {
    const shown = [...repr(value)];
    const short = shown.length <= LONGEST_REPR
      ? shown.join("") : `${shown.slice(0, LONGEST_REPR - 1).join("")}…`;
    return `${field} = ${short}: ${rule}`;
  }

  function refuse(field, value, rule) {
    throw new ConfigError(told(field, value, rule));
  }

  const fill = (message, values) =>
    message.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));

  // ---- Values as Python writes them.

  function repr(value) {
    if (value === null) return "None";
    if (value === true) return "True";
    if (value === false) return "False";
    if (typeof value === "bigint") return String(value);
    if (typeof value === "number") return floatRepr(value);
    if (typeof value === "string") return quoted([...value], characterRepr);
    if (value instanceof Uint8Array) return `b${quoted([...value], byteRepr)}`;
    if (Array.isArray(value)) return `[${value.map(repr).join(", ")}]`;
    const pairs = [...value].map(([key, each]) => `${repr(key)}: ${repr(each)}`);
    return `{${pairs.join(", ")}}`;
  }

  function floatRepr(value) {
    if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
    const sign = value < 0 || Object.is(value, -0) ? "-" : "";
    const [mantissa, exponent] = Math.abs(value).toExponential().split("e");
    const digits = mantissa.replace(".", ""), power = Number(exponent);
    if (power < -4 || power >= 16) {
      const size = String(Math.abs(power)).padStart(2, "0");
      return `${sign}${mantissa}e${power < 0 ? "-" : "+"}${size}`;
    }
    if (power < 0) return `${sign}0.${"0".repeat(-power - 1)}${digits}`;
    const whole = digits.slice(0, power + 1).padEnd(power + 1, "0");
    return `${sign}${whole}.${digits.slice(power + 1) || "0"}`;
  }

  const ESCAPES = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" };

  function quoted(items, each) {
    const has = (mark) => items.includes(mark) || items.includes(mark.charCodeAt(0));
    const quote = has("'") && !has('"') ? '"' : "'";
    return quote + items.map((item) => each(item, quote)).join("") + quote;
  }

  function characterRepr(character, quote) {
    if (character === quote) return `\\${quote}`;
    if (Object.hasOwn(ESCAPES, character)) return ESCAPES[character];
    if (character === " " || !/[\p{C}\p{Z}]/u.test(character)) return character;
    const code = character.codePointAt(0);
    const [mark, width] = code < 256 ? ["x", 2] : code < 65536 ? ["u", 4] : ["U", 8];
    return `\\${mark}${code.toString(16).padStart(width, "0")}`;
  }

  function byteRepr(byte, quote) {
    const character = String.fromCharCode(byte);
    return byte < 128 ? characterRepr(character, quote)
      : `\\x${byte.toString(16)}`;
  }

  // Equality of Python: 1 == 1.0 == True.
  function isEqual(x, y) {
    if (Array.isArray(x)) {
      return Array.isArray(y) && x.length === y.length
        && x.every((each, i) => isEqual(each, y[i]));
    }
    if (x instanceof Map) {
      return y instanceof Map && x.size === y.size
        && [...x].every(([key, each]) => y.has(key) && isEqual(each, y.get(key)));
    }
    const plain = (each) => (typeof each === "boolean" ? BigInt(each) : each);
    const isNumber = (each) => ["bigint", "number"].includes(typeof each);
    const [left, right] = [plain(x), plain(y)];
    if (isNumber(left) && isNumber(right)) return left == right; // exact, of both kinds
    return left === right;
  }

  // ---- Text.

  const STRING = /"[^"\\]*(?:\\[\s\S][^"\\]*)*"/g;
  const NUMBER = /-?(?:0|[1-9][0-9]*)((?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)/y;
  const PLAIN = /[^"\\\u0000-\u001f]*/y;
  const SPACE = /[ \t\n\r]*/y;
  const HEX = /[0-9a-fA-F]{4}/y;
  const SINGLE = { '"': '"', "\\": "\\", "/": "/", b: "\b", f: "\f", n: "\n", r: "\r",
    t: "\t" };
  const CONSTANTS = [["null", null], ["true", true], ["false", false]];
  const NO_NUMBERS = ["NaN", "Infinity", "-Infinity"];

  // Characters as Python counts them.
  function lengthOf(text) {
    let count = text.length;
    for (let i = 1; i < text.length; i += 1) {
      const isLow = (text.charCodeAt(i) & 0xfc00) === 0xdc00;
      if (isLow && (text.charCodeAt(i - 1) & 0xfc00) === 0xd800) count -= 1;
    }
    return count;
  }

  function depthOf(text) {
    let depth = 0, deepest = 0;
    for (const character of text.replace(STRING, "")) {
      if (character === "[" || character === "{") depth += 1;
      if (character === "]" || character === "}") depth -= 1;
      deepest = Math.max(deepest, depth);
    }
    return deepest;
  }

  function decode(bytes, name) {
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      return refuse(name, new Uint8Array(bytes).slice(0, 1000), data.messages.bytes);
    }
  }

  function parse(source, name) {
    const { messages, limits } = data;
    const text = source.replace(/\r\n?/g, "\n");
    if (lengthOf(text) > limits.text) refuse(name, BigInt(lengthOf(text)), messages.long);
    if (depthOf(text) > limits.depth) refuse(name, text.slice(0, 1000), messages.deep);
    let at = 0;

    function invalid(what, place) {
      const before = text.slice(0, place), lines = before.split("\n");
      const column = lengthOf(lines.at(-1)) + 1;
      const where = `line ${lines.length} column ${column} (char ${lengthOf(before)})`;
      refuse(name, `${what}: ${where}`, messages.invalid);
    }

    function match(pattern) {
      pattern.lastIndex = at;
      const found = pattern.exec(text);
      if (found) at = pattern.lastIndex;
      return found;
    }

    const skip = () => match(SPACE);

    function value() {
      const first = text[at];
      if (first === '"') return string();
      if (first === "{") return object();
      if (first === "[") return list();
      for (const [word, constant] of CONSTANTS) {
        if (text.startsWith(word, at)) {
          at += word.length;
          return constant;
        }
      }
      const wrong = NO_NUMBERS.find((word) => text.startsWith(word, at));
      if (wrong) refuse(name, wrong, messages.constant);
      const found = match(NUMBER);
      if (!found) invalid("Expecting value", at);
      if (found[1]) return Number(found[0]);
      if (found[0].length > limits.digits) refuse(name, found[0], messages.digits);
      return BigInt(found[0]);
    }

    function string() {
      const begin = at;
      const pieces = [];
      at += 1;
      for (;;) {
        pieces.push(match(PLAIN)[0]);
        const next = text[at];
        if (next === undefined) invalid("Unterminated string starting at", begin);
        if (next === '"') break;
        if (next !== "\\") invalid("Invalid control character at", at);
        pieces.push(escape(begin));
      }
      at += 1;
      return pieces.join("");
    }

    function escape(begin) {
      const mark = text[at + 1];
      if (mark === undefined) invalid("Unterminated string starting at", begin);
      at += 2;
      if (Object.hasOwn(SINGLE, mark)) return SINGLE[mark];
      if (mark !== "u") invalid("Invalid \\escape", at - 2);
      const place = at - 1, found = match(HEX);
      if (!found || at >= text.length) invalid("Invalid \\uXXXX escape", place);
      return String.fromCharCode(parseInt(found[0], 16));
    }

    function list() {
      const items = [];
      at += 1;
      skip();
      if (text[at] !== "]") {
        for (;;) {
          items.push(value());
          skip();
          if (text[at] === "]") break;
          if (text[at] !== ",") invalid("Expecting ',' delimiter", at);
          at += 1;
          skip();
        }
      }
      at += 1;
      return items;
    }

    function object() {
      const pairs = [];
      at += 1;
      skip();
      if (text[at] !== "}") {
        for (;;) {
          if (text[at] !== '"') {
            invalid("Expecting property name enclosed in double quotes", at);
          }
          const key = string();
          skip();
          if (text[at] !== ":") invalid("Expecting ':' delimiter", at);
          at += 1;
          skip();
          pairs.push([key, value()]);
          skip();
          if (text[at] === "}") break;
          if (text[at] !== ",") invalid("Expecting ',' delimiter", at);
          at += 1;
          skip();
        }
      }
      at += 1;
      return once(pairs);
    }

    function once(pairs) {
      const found = new Map();
      for (const [key, each] of pairs) {
        if (found.has(key)) refuse(key, each, messages.twice);
        found.set(key, each);
      }
      return found;
    }

    if (text.startsWith("\ufeff")) {
      invalid("Unexpected UTF-8 BOM (decode using utf-8-sig)", 0);
    }
    skip();
    const whole = value();
    skip();
    if (at < text.length) invalid("Extra data", at);
    return whole;
  }

  globalThis.EveryByte = {
    ...globalThis.EveryByte,
    text: { ConfigError, told, refuse, repr, isEqual, fill, decode, parse },
  };
})();
