// A config, checked by the table of data/fields.json as fields.py and model.py check it,
// and its sizes: the ledgers of config_page.py, evaluated exactly. There is no formula in
// here. Data of the library says what is a field, what a rule, which rows there are.
//
// EveryByte.models has read(text, file), stored(model, format) and
// ledger(model, place, sizes).
(() => {
  "use strict";

  const data = globalThis.EveryByteData;
  const { compile } = globalThis.EveryByte.exact;
  const { ConfigError, refuse, repr, isEqual, fill, parse } = globalThis.EveryByte.text;
  const { messages } = data;

  const compiled = new Map();

  // The value of a tree; each tree is checked and compiled once.
  function value(tree, numbers) {
    if (!compiled.has(tree)) compiled.set(tree, compile(tree));
    return compiled.get(tree)(numbers);
  }

  // ---- Fields.

  function read(source, name) {
    const config = parse(source, name);
    if (!(config instanceof Map)) refuse("config", config, messages.object);
    const kind = config.get("model_type") ?? null;
    if (typeof kind !== "string" || !Object.hasOwn(data.families, kind)) {
      refuse("model_type", kind, messages.model_type);
    }
    const entry = data.families[kind];
    if (entry.unsupported !== undefined) {
      throw new ConfigError(
        `model_type = ${repr(kind)}: this page cannot size it yet (${entry.unsupported}); `
        + "python -m llm_memory can");
    }
    const given = withoutAliases(config, entry);
    refuseUnknown(given, kind, entry);
    const { values, assumed } = completed(given, entry);
    return modelOf(name, kind, entry, values, assumed);
  }

  function withoutAliases(config, entry) {
    const given = new Map(config);
    for (const [name, field] of Object.entries(entry.fields)) {
      for (const alias of field.aliases ?? []) {
        const [inner, outer] = alias.split(".").reverse();
        const place = outer ? given.get(outer) : given;
        if (!(place instanceof Map) || !place.has(inner)) continue;
        const other = place.get(inner);
        if (!outer) given.delete(alias);
        if (!given.has(name)) given.set(name, other);
        const known = given.get(name);
        if (!isEqual(known, other)) {
          refuse(alias, other, fill(messages.contradicts, { name, value: repr(known) }));
        }
      }
    }
    return given;
  }

  function refuseUnknown(given, kind, entry) {
    const { unknown } = data;
    const known = new Set(
      [...Object.keys(entry.fields), ...entry.ignored, ...unknown.ignored]);
    const risky = new Set(unknown["can change memory"]);
    const harmless = new Set(unknown["harmless words"]);
    for (const [name, each] of given) {
      const words = name.toLowerCase().split("_");
      const isRisky = words.some((word) => risky.has(word))
        && !words.some((word) => harmless.has(word));
      const isOff = unknown.off.some((off) => repr(parse(off, "off")) === repr(each));
      if (isRisky && !known.has(name) && !isOff) {
        refuse(name, each, fill(messages.unknown, { model_type: kind }));
      }
    }
    const names = given.get("architectures") ?? null;
    if (names === null) return;
    if (!Array.isArray(names)) refuse("architectures", names, messages.architectures);
    for (const each of names) {
      const isCausal = typeof each === "string"
        && data.causal.some((ending) => each.endsWith(ending));
      if (!isCausal) refuse("architectures", each, messages.architecture);
    }
  }

  function completed(given, entry) {
    const values = new Map(), assumed = new Map();
    const each = Object.entries(entry.fields);
    for (const [name, field] of each) {
      if (given.has(name)) {
        values.set(name, given.get(name));
      } else if (field.default !== undefined) {
        assumed.set(name, parse(field.default, name));
        values.set(name, assumed.get(name));
      } else {
        refuse(name, null, messages.missing);
      }
    }
    for (const [name, field] of each) {
      if (!isOfKind(values.get(name), field)) refuse(name, values.get(name), field.rule);
    }
    for (const [name, field] of each) {
      if (values.get(name) !== null || field.if_null === undefined) continue;
      values.set(name, implied(name, field.if_null, values));
      if (assumed.has(name)) assumed.set(name, values.get(name));
    }
    const activation = values.get(entry.function);
    if (data["functions with parameters"].includes(activation)) {
      refuse(entry.function, activation, messages.parameters);
    }
    const numbers = numbersOf(values, entry.fields);
    for (const { rule, field, says } of entry.rules) {
      if (!value(rule, numbers)) refuse(field, values.get(field), says);
    }
    for (const [name, value] of assumed) if (value === null) assumed.delete(name);
    return { values, assumed };
  }

  const isWhole = (each) => typeof each === "bigint";
  const isNumber = (each) => isWhole(each) || typeof each === "number";
  const isOfTypes = (each, { kind }) =>
    Array.isArray(each) && each.every((type) => data.types[kind].includes(type));
  const KINDS = {
    size: (each, { minimum = 1 }) =>
      isWhole(each) && each >= BigInt(minimum) && each <= BigInt(data.limits.size),
    flag: (each) => typeof each === "boolean",
    number: (each) => isNumber(each) && each >= 0 && each <= 1,
    share: (each) => isNumber(each) && each > 0 && each <= 1,
    positive: (each) => isNumber(each) && each > 0,
    text: (each) => typeof each === "string",
    choice: (each, { choices }) => choices.includes(each),
    object: (each) => each instanceof Map,
    layers: isOfTypes, "hybrid layers": isOfTypes,
    indices: (each) => Array.isArray(each) && each.every((i) => isWhole(i) && i >= 0n),
  };
  const isOfKind = (each, field) =>
    (each === null && field.nullable) || KINDS[field.kind](each, field);

  function implied(name, tree, values) {
    const found = value(tree, numbersOf(values));
    if (isWhole(found) || typeof found === "boolean") return found;
    const shown = JSON.parse(JSON.stringify(tree), (_, each) =>
      typeof each === "number" ? BigInt(each) : each);
    const ratio = `${found.n}/${found.d}`;
    return refuse(name, null,
      fill(messages.implied, {
        tree: typeof shown === "string" ? shown : repr(shown), value: ratio,
      }));
  }

  // What trees know a config's fields as; of a share, its elements, rounded down; of a
  // choice, its place.
  function numbersOf(values, fields = {}) {
    const numbers = new Map(
      [...values].filter(([, each]) => isWhole(each) || typeof each === "boolean"));
    for (const [name, { kind, of, choices }] of Object.entries(fields)) {
      if (kind === "choice") numbers.set(name, BigInt(choices.indexOf(values.get(name))));
      if (kind !== "share") continue;
      const size = values.get(of), share = values.get(name);
      numbers.set(name, isWhole(share) ? size * share : BigInt(Math.trunc(Number(size) * share)));
    }
    return numbers;
  }

  // ---- The model: sizes by their letters, and which structure it has.

  function modelOf(name, kind, entry, values, assumed) {
    const numbers = numbersOf(values, entry.fields);
    const sizes = new Map();
    for (const [field, { symbol }] of Object.entries(entry.fields)) {
      if (symbol && values.get(field) !== null) sizes.set(symbol, values.get(field));
    }
    for (const [symbol, tree] of Object.entries(entry.derived)) {
      sizes.set(symbol, value(tree, numbers));
    }
    if (values.get("use_sliding_window") === false) sizes.delete("W");
    for (const [symbol, size] of sizes) numbers.set(symbol, size);
    numbers.set("L_w", sliding(entry, values, numbers));
    numbers.set("D", dense(entry, values, numbers));
    checkLayers(values, numbers);
    numbers.set("L_linear", linear(entry, values, numbers));
    const structure = structureOf(entry, values, numbers);
    setBlock(values.get("quantization_config") ?? null, numbers, structure);
    return { name: name.replace(/(?<=.)\.[^.]+$/, ""), kind, entry, values, assumed, numbers, structure };
  }

  function sliding(entry, values, numbers) {
    const types = values.get("layer_types") ?? null, total = numbers.get("L");
    if (types !== null) {
      if (BigInt(types.length) !== total) {
        refuse("layer_types", types, fill(messages.types, { total, given: types.length }));
      }
      return typed(types, data.counted.sliding);
    }
    if (!numbers.has("W")) return 0n;
    return value(data.patterns.windows[entry.windows], numbers);
  }

  const typed = (types, name) => BigInt(types.filter((type) => type === name).length);

  function linear(entry, values, numbers) {
    if (entry.linear === null) return 0n;
    const types = values.get("layer_types");
    return types === null ? value(data.patterns.linear[entry.linear], numbers)
      : typed(types, data.counted.linear);
  }

  function dense(entry, values, numbers) {
    if (entry.sparse === null) return numbers.get("L");
    const rule = data.patterns.exceptions;
    const indices = new Set(values.get(rule.field) ?? []);
    const counted = [...indices].filter((i) =>
      value(rule["counted if"], new Map(numbers).set("i", i)));
    const all = new Map(numbers).set("exceptions", BigInt(counted.length));
    return value(data.patterns.dense[entry.sparse], all);
  }

  function checkLayers(values, numbers) {
    const [total, windowed, dense] = ["L", "L_w", "D"].map((each) => numbers.get(each));
    if (windowed && !numbers.has("W")) {
      refuse("sliding_window", values.get("sliding_window") ?? null, messages.window);
    }
    const isMixed = (count) => count !== 0n && count !== total;
    if (isMixed(windowed) && isMixed(dense)) {
      refuse("layer_types", values.get("layer_types"), messages.mixed);
    }
  }

  function structureOf(entry, values, numbers) {
    const facts = new Map(numbers);
    for (const [name, each] of values) {
      facts.set(`has_${name}`, each !== null && each !== 0 && !(each === 0n));
    }
    const [kind, inner] = data.functions[values.get(entry.function)] ?? [0, 0];
    facts.set("function", BigInt(kind));
    numbers.set("inner", BigInt(inner));
    const switches = Object.entries(entry.switches);
    return new Map(switches.map(([name, tree]) => [name, value(tree, facts)]));
  }

  // The block of one scale in the fp8 format that a config brings.
  function setBlock(config, numbers, structure) {
    structure.set("block", 0n);
    if (config === null || config.size === 0) return;
    const method = config.get("quant_method") ?? null;
    if (typeof method !== "string" || !Object.hasOwn(data.quant_methods, method)) {
      refuse("quant_method", method, messages.quant_method);
    }
    if (!data.quant_methods[method]) return;
    const block = config.get("weight_block_size") ?? null, sizes = block ?? [];
    const isListed = Array.isArray(sizes) && [0, 2].includes(sizes.length);
    if (!isListed || !sizes.every((size) => isWhole(size) && size >= 1n)) {
      refuse("weight_block_size", block, messages.weight_block);
    }
    structure.set("block", sizes.length ? 1n : 2n);
    if (sizes.length) numbers.set("block_rows", sizes[0]).set("block_columns", sizes[1]);
  }

  // ---- Ledgers.

  // The place of a model's weights in a format, or why there are none.
  const stored = (model, format) => chosen(model, model.entry.weights[format]);

  // The place of a ledger that only some structures have, or the message of why not.
  function chosen(model, found) {
    const refused = (rule) => ({ message: fill(rule, { model: model.name }) });
    if (typeof found === "number") return { place: found };
    if (typeof found === "string") return refused(found);
    return value(found.if, model.structure) ? { place: found.ledger } : refused(found.else);
  }

  // The rows that a model has, with their sizes and bytes; `sizes` gives b, s, t.
  function ledger(model, place, sizes = {}) {
    const numbers = new Map([...model.numbers, ...Object.entries(sizes)]);
    const places = data.ledgers[place], rows = [];
    for (let i = 0; i < places.length; i += 2) {
      const holds = data.conditions[places[i + 1]];
      if (value(holds, model.structure)) rows.push(row(data.rows[places[i]], numbers));
      if (rows.at(-1)?.elements === 0n) rows.pop();
    }
    const parts = new Map();
    for (const { part, bytes } of rows) parts.set(part, (parts.get(part) ?? 0n) + bytes);
    return { rows, parts, bytes: rows.reduce((sum, each) => sum + each.bytes, 0n) };
  }

  function row([name, count, shape, dtype, part], numbers) {
    const times = value(count, numbers);
    const sizes = shape.map((size) => value(size, numbers));
    if (![times, ...sizes].every(isWhole)) throw new Error("sizes do not divide");
    const elements = sizes.reduce((product, size) => product * size, 1n);
    const one = (elements * BigInt(data.bits[dtype]) + 7n) / 8n;
    return { name, part, dtype, count, shape, times, sizes, elements: times * elements,
      bytes: times * one };
  }

  globalThis.EveryByte = { ...globalThis.EveryByte, models: { read, stored, chosen, ledger } };
})();
