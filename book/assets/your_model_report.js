// What a model amounts to at a setting: ledgers of the library's rows, and what fits.
//
// EveryByte.models.report(model, settings) and formulaOf(row).
(() => {
  "use strict";

  const data = globalThis.EveryByteData;
  const { formula, marked } = globalThis.EveryByte.exact;
  const { models, text: { told } } = globalThis.EveryByte;
  const TIMES = "\u202f×\u202f";

  // Ledgers, and null or a message where there is none.
  function report(model, settings) {
    const { entry } = model, { b, s, t } = settings;
    const { place, message } = models.stored(model, settings.weights);
    const weights = message ? { message } : models.ledger(model, place);
    const cached = entry.cache[settings.layout][settings.cache];
    const cache = (sequences, tokens) =>
      models.ledger(model, cached, { b: sequences, t: tokens });
    const parameters = models.ledger(model, entry.weights.bf16);
    const active = models.ledger(model, entry.active);
    const updated = data.updated[settings.recipe];
    const states = joined(
      models.ledger(model, entry.states[settings.recipe]),
      models.ledger(model, entry.optimizers[settings.optimizer][updated]));
    return {
      parameters: elementsOf(parameters), weights, states,
      active: active.bytes < parameters.bytes ? elementsOf(active) : null,
      token: cache(1n, 1n), cache: cache(b, t),
      activations: activationsOf(model, settings, { b, s }),
      fits: message ? { message }
        : fitsOf(weights.bytes, cache, t, BigInt(data.hardware[settings.hardware])),
    };
  }

  const elementsOf = ({ rows }) => rows.reduce((sum, row) => sum + row.elements, 0n);

  const joined = (first, second) => ({
    rows: [...first.rows, ...second.rows],
    parts: new Map([...first.parts, ...second.parts]),
    bytes: first.bytes + second.bytes,
  });

  function activationsOf(model, { attention, recompute }, sizes) {
    const { activations } = model.entry;
    if (typeof activations === "string") return { message: activations };
    const field = model.entry.function, called = model.values.get(field);
    if (!Object.hasOwn(data.functions, called)) {
      return { message: told(field, called, data.messages.function) };
    }
    const { place, message } = models.chosen(model, activations[attention][recompute]);
    return message ? { message } : models.ledger(model, place, sizes);
  }

  // As llm_memory's capacity: whole sequences first, then one more that grows by tokens.
  function fitsOf(weights, cache, context, budget) {
    const free = budget - weights;
    const bytes = (sequences, tokens) =>
      sequences && tokens ? cache(sequences, tokens).bytes : 0n;
    const sequence = bytes(1n, context);
    if (free < 0n) return { budget, weights, free, sequence, sequences: 0n, tokens: 0n };
    const sequences = largest((n) => bytes(n, context) <= free);
    const used = bytes(sequences, context);
    const rest = largest((n) => n < context && used + bytes(1n, n) <= free);
    const tokens = sequences * context + rest;
    return { budget, weights, free, sequence, sequences, tokens };
  }

  // The largest size that fits; 0n if none does. Bytes grow with every size.
  function largest(fits) {
    let low = 0n, high = 1n;
    while (fits(high)) [low, high] = [high, 2n * high];
    while (high - low > 1n) {
      const middle = (low + high) / 2n;
      if (fits(middle)) low = middle;
      else high = middle;
    }
    return low;
  }

  // A row as count × shape × bytes, in letters and in numbers.
  function formulaOf(row) {
    const bits = data.bits[row.dtype];
    const each = bits % 8 ? `${bits} bits` : `${bits / 8} B`;
    const write = (count, sizes) => {
      const shape = sizes.length > 1 ? `(${sizes.join(TIMES)})` : sizes[0];
      return [count, shape, each].filter((part) => part !== "" && part !== undefined)
        .join(" · ");
    };
    const level = 3; // a sum is put in parentheses
    return {
      letters: write(row.count === 1 ? "" : formula(row.count, level),
        row.shape.map((size) => formula(size, row.shape.length > 1 ? 2 : level))),
      numbers: write(row.count === 1 ? "" : marked(row.times), row.sizes.map(marked)),
    };
  }

  Object.assign(models, { report, formulaOf });
})();
