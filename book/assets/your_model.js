// The page "Size your own model": two configs, one setting, and what they amount to.
// Everything is made by name and filled with text: a config is data, never markup.
(() => {
  "use strict";

  const data = globalThis.EveryByteData;
  const { make, marked, setText, unitsFor, inUnit } = globalThis.EveryByte.exact;
  const { models } = globalThis.EveryByte;
  const { makeModel, makeSettings, table } = globalThis.EveryByte.inputs;

  const LONGEST_LINK = 4000;
  const bytes = (count) => `${marked(count)} bytes`;
  const rounded = (count) => {
    const { si, iec } = unitsFor(count);
    return `${inUnit(count, si)} · ${inUnit(count, iec)}`;
  };
  const button = (text) => make("button", { type: "button", class: "own-button" }, text);

  // ---- Results.

  const QUANTITIES = [
    ["Weights", ({ weights, parameters, active }, { weights: kind }) => ({
      ...ledgerOr(weights),
      note: `${marked(parameters)} parameters, stored as ${kind}`
        + (active === null ? "." : `; a token uses ${marked(active)} of them.`),
    })],
    ["Cache of one token", ({ token }) => ({
      ledger: token, note: "What one more token adds while every layer still holds all tokens.",
    })],
    ["Cache", ({ cache }, { b, t }) => ({
      ledger: cache, note: `${marked(b)} × ${marked(t)} tokens.`,
    })],
    ["What fits beside the weights", ({ fits }, { hardware, t }) => fitted(fits, hardware, t)],
    ["Training states", ({ states }, { recipe, optimizer }) => ({
      ledger: states, note: `Recipe ${recipe}, ${optimizer}, one rank, before any activation.`,
    })],
    ["Saved activations", ({ activations }, { b, s, attention, recompute }) => ({
      ...ledgerOr(activations),
      note: `${marked(b)} × ${marked(s)} tokens, ${attention} attention, recomputation: `
        + `${recompute}; alive after the forward, head and loss included.`,
    })],
  ];
  const ledgerOr = (found) => (found.message ? found : { ledger: found });

  function fitted(fits, hardware, t) {
    if (fits.message) return fits;
    const { budget, weights, free, sequence, sequences, tokens } = fits;
    const lines = [
      `${hardware}: ${bytes(budget)}, as the driver reports it`,
      `− weights ${bytes(weights)} = ${free < 0n ? "−" : ""}${bytes(free < 0n ? -free : free)}`,
    ];
    if (free < 0n) {
      return { over: `Does not fit: ${rounded(-free)} too much.`, lines };
    }
    lines.push(`÷ cache of ${marked(t)} tokens, ${bytes(sequence)}, rounded down`);
    return {
      big: `${marked(sequences)} × ${marked(t)} tokens`,
      note: `${marked(tokens)} tokens in all, if the last sequence may be shorter.`, lines,
    };
  }

  function showResult([, find], state, report, settings) {
    const found = find(report, settings);
    const nodes = [make("h4", {}, `${state.letter}: ${state.title}`)];
    if (found.message !== undefined) {
      return make("div", { class: "own-result" }, ...nodes, make("p", {}, found.message));
    }
    if (found.ledger) {
      nodes.push(make("p", { class: "own-big" }, rounded(found.ledger.bytes)),
        make("p", { class: "own-exact" }, bytes(found.ledger.bytes)));
    }
    if (found.big) nodes.push(make("p", { class: "own-big" }, found.big));
    if (found.over) nodes.push(make("p", { class: "own-big own-bad" }, found.over));
    if (found.note) nodes.push(make("p", {}, found.note));
    if (found.lines) {
      nodes.push(make("ul", {}, ...found.lines.map((line) => make("li", {}, line))));
    } else {
      nodes.push(make("details", { "data-key": state.letter },
        make("summary", {}, "Formula, tensor by tensor"), ledgerTable(found.ledger)));
    }
    return make("div", { class: "own-result" }, ...nodes);
  }

  function ledgerTable({ rows, parts, bytes }) {
    const lines = rows.filter((row) => row.bytes > 0n).map((row) => {
      const { letters, numbers } = models.formulaOf(row);
      const sum = letters === numbers ? letters : `${letters} = ${numbers}`;
      return [make("span", {}, ...breakable(row.name || row.part),
        make("span", { class: "own-formula" }, sum)), marked(row.bytes)];
    });
    const sums = [...parts].filter(([, sum]) => sum > 0n && parts.size > 1)
      .map(([part, sum]) => [part || "all", marked(sum)]);
    return make("div", { class: "own-scroll", tabindex: "0", role: "group",
      "aria-label": "Formula, tensor by tensor" },
      ...(sums.length ? [table(["part", "bytes"], sums)] : []),
      table(["tensor", "bytes"], lines, ["total", marked(bytes)]));
  }

  // A name that may wrap after a dot.
  const breakable = (name) => name.split(/(?<=\.)/).flatMap((word) => [word, make("wbr")]);

  // ---- The page.

  function mount(root) {
    const results = make("div", { class: "own-results" });
    const spoken = make("p", { class: "own-spoken", role: "status" });
    let timer = 0;
    const settings = makeSettings(() => update());
    const first = makeModel("A", () => update());
    const second = makeModel("B", () => update());
    const both = [first, second];

    function update() {
      const shown = both.filter(({ model }) => model !== null);
      const reports = shown.map(({ model }) => models.report(model, settings.state));
      const open = new Set([...results.querySelectorAll("details[open]")]
        .map((each) => each.closest("section").dataset.quantity + each.dataset.key));
      results.replaceChildren(...(shown.length ? QUANTITIES : []).map((quantity) => {
        const each = shown.map((state, i) =>
          showResult(quantity, state, reports[i], settings.state));
        return make("section", { "data-quantity": quantity[0] },
          make("h3", {}, quantity[0]), make("div", { class: "own-pair" }, ...each));
      }));
      for (const each of results.querySelectorAll("details")) {
        each.open = open.has(each.closest("section").dataset.quantity + each.dataset.key);
      }
      clearTimeout(timer);
      const sentences = shown.map((state, i) => speak(state, reports[i]));
      timer = setTimeout(() => setText(spoken, sentences.join(" ")), 900);
    }

    function speak(state, { weights, fits }) {
      if (weights.message) return `Model ${state.letter}: ${weights.message}.`;
      const room = fits.free < 0n ? "the weights do not fit"
        : `${marked(fits.sequences)} sequences fit`;
      return `Model ${state.letter}: weights ${rounded(weights.bytes)}, ${room}.`;
    }

    // #own.t=8192&own.A=Qwen3-0.6B: a bundled name, or a config without its spaces.
    function link() {
      const pairs = settings.names.map((name) => [name, String(settings.state[name])]);
      for (const { letter, source, model } of both) {
        if (model) pairs.push([letter, compact(source())]);
      }
      const hash = pairs.map(([name, text]) => `own.${name}=${encodeURIComponent(text)}`).join("&");
      const isShort = hash.length <= LONGEST_LINK;
      if (isShort) history.replaceState(history.state, "", `#${hash}`);
      setText(linked, isShort ? "The address of this page now holds configs and setting."
        : `Too long for an address: ${marked(hash.length)} characters.`);
    }

    function follow() {
      const pairs = location.hash.slice(1).split("&").map((pair) => pair.split("="));
      const texts = new Map(pairs.flatMap(([name, text]) => {
        if (!name.startsWith("own.") || text === undefined) return [];
        try {
          return [[name.slice(4), decodeURIComponent(text)]];
        } catch {
          return [];
        }
      }));
      if (!texts.size) return false;
      settings.take(texts);
      for (const { letter, pick, set } of both) {
        const text = texts.get(letter) ?? "";
        if (Object.hasOwn(data.models, text)) pick(text);
        else set(text);
      }
      return true;
    }

    const share = button("Put this into the address"), linked = make("span", { role: "status" });
    share.addEventListener("click", link);
    root.replaceChildren(make("div", { class: "own-live" },
      make("div", { class: "own-pair" }, first.node, second.node),
      settings.node, make("p", {}, share, " ", linked), results, spoken));
    if (!follow()) first.pick("Qwen3-0.6B");
    window.addEventListener("hashchange", follow);
  }

  // JSON without the spaces between its words; any other text as it is.
  function compact(text) {
    return text.replace(/("[^"\\]*(?:\\[\s\S][^"\\]*)*")|\s+/g, "$1");
  }

  const root = document.querySelector("every-byte-model");
  if (root) mount(root);
})();
