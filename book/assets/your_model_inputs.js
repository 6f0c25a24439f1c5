// What a reader gives to the page "Size your own model": two configs and a setting. A text
// is read as it is typed, pasted, dropped or picked.
//
// EveryByte.inputs has makeModel, makeSettings and table.
(() => {
  "use strict";

  const data = globalThis.EveryByteData;
  const { make, marked, setText } = globalThis.EveryByte.exact;
  const { ConfigError, decode, repr } = globalThis.EveryByte.text;
  const { models } = globalThis.EveryByte;

  const LARGEST = BigInt(data.limits.size);
  const SIZES = [
    ["t", "Cached tokens of a sequence", 2048n],
    ["b", "Sequences at a time", 1n],
    ["s", "Tokens of a training sequence", 2048n],
  ];
  const SELECTS = [
    ["hardware", "Accelerator", Object.keys(data.hardware), "RTX 4090"],
    ["weights", "Weights stored as", data.choices.weights, "bf16"],
    ["cache", "Cache stored as", data.choices.cache, "bf16"],
    ["layout", "Layout of a latent cache", data.choices.layout, "latent"],
    ["recipe", "Training recipe", data.choices.recipe, "bf16_mixed"],
    ["optimizer", "Optimizer", data.choices.optimizer, "adamw"],
    ["attention", "Attention kernel", data.choices.attention, "eager"],
    ["recompute", "Recomputation", data.choices.recompute, "none"],
  ];

  // ---- One model: a text, where it comes from, and what it is.

  function makeModel(letter, changed) {
    const id = `own-model-${letter}`;
    const text = make("textarea", {
      id, rows: 5, spellcheck: "false", autocomplete: "off", autocapitalize: "off",
      "aria-describedby": `${id}-says`,
    });
    const pick = make("select", { id: `${id}-bundled` }, make("option", { value: "" }, "–"),
      ...Object.keys(data.models).map((name) => make("option", {}, name)));
    const file = make("input", { type: "file", id: `${id}-file`, accept: ".json,application/json" });
    const says = make("p", { id: `${id}-says`, class: "own-says", role: "status" });
    const about = make("div", { class: "own-about" });
    const node = make("div", { class: "own-model", role: "group", "aria-label": `Model ${letter}` },
      make("label", { for: id, class: "own-name" }, `Model ${letter}${letter === "A" ? "" : ", to compare"}: paste or drop a config.json`),
      text,
      make("div", { class: "own-sources" },
        make("span", {}, make("label", { for: pick.id }, "or a bundled one"), pick),
        make("span", {}, make("label", { for: file.id }, "or a file"), file)),
      says, about);
    const state = { letter, node, model: null, name: "config.json", title: "" };
    let timer = 0;

    function read(source) {
      clearTimeout(timer);
      state.model = null;
      let message = "";
      if (source.trim()) {
        try {
          state.model = models.read(source, state.name);
        } catch (error) {
          message = error instanceof ConfigError ? error.message
            : `This page cannot size it: ${error.message}`;
        }
      }
      const { model } = state;
      state.title = model ? (pick.value || model.kind) : "";
      text.toggleAttribute("aria-invalid", false);
      if (message) text.setAttribute("aria-invalid", "true");
      says.dataset.mood = message ? "refused" : "read";
      setText(says, message ? `Refused. ${message}` : model ? summary(model) : "");
      about.replaceChildren(...(model ? describe(model) : []));
      changed();
    }

    function set(source, name = "config.json", bundled = "") {
      state.name = name;
      pick.value = bundled;
      text.value = source.length > data.limits.text ? "" : source;
      read(source);
    }

    function pickBundled(bundled) {
      set(data.models[bundled] ?? "", `${bundled || "config"}.json`, bundled);
    }

    async function open(opened) {
      if (!opened) return;
      try {
        if (opened.size > 8 * data.limits.text) {
          set("x".repeat(data.limits.text + 1), opened.name);
        } else {
          set(decode(await opened.arrayBuffer(), opened.name), opened.name);
        }
      } catch (error) {
        set("", opened.name);
        says.dataset.mood = "refused";
        setText(says, `Refused. ${error.message}`);
      }
    }

    text.addEventListener("input", () => {
      pick.value = "";
      state.name = "config.json";
      says.dataset.mood = "reading";
      clearTimeout(timer);
      timer = setTimeout(() => read(text.value), 150);
    });
    text.addEventListener("paste", (event) => {
      const pasted = event.clipboardData?.getData("text") ?? "";
      if (pasted.length <= data.limits.text) return;
      event.preventDefault(); // a text area would take very long to show it
      set(pasted);
    });
    pick.addEventListener("change", () => pickBundled(pick.value));
    file.addEventListener("change", () => open(file.files[0]));
    node.addEventListener("dragover", (event) => {
      event.preventDefault();
      node.classList.add("own-over");
    });
    node.addEventListener("dragleave", () => node.classList.remove("own-over"));
    node.addEventListener("drop", (event) => {
      event.preventDefault();
      node.classList.remove("own-over");
      const [dropped] = event.dataTransfer.files;
      if (dropped) open(dropped);
      else set(event.dataTransfer.getData("text"));
    });
    return Object.assign(state, {
      set,
      source: () => pick.value || text.value,
      pick: pickBundled,
    });
  }

  const countOf = (model) =>
    models.ledger(model, model.entry.weights.bf16).rows.reduce((n, row) => n + row.elements, 0n);
  const summary = (model) => `Read as ${model.kind}: ${marked(countOf(model))} parameters.`;

  function describe({ numbers, assumed }) {
    const isTelling = (name) => numbers.has(name) && (!["L_w", "L_linear"].includes(name) || numbers.get(name))
      && (name !== "D" || numbers.get(name) !== numbers.get("L"));
    const rows = Object.entries(data.symbols).filter(([name]) => isTelling(name));
    const found = [make("details", {},
      make("summary", {}, "Sizes and their letters"),
      table(["letter", "size", "value"], rows.map(([name, meaning]) =>
        [name, meaning, marked(numbers.get(name))])))];
    if (assumed.size) {
      found.push(make("details", {}, make("summary", {}, "Filled in as transformers does"),
        table(["field", "value"], [...assumed].map(([name, each]) => [name, repr(each)]))));
    }
    return found;
  }

  // A table in a box that scrolls; a cell is a text or a node, the first names its row.
  function table(heads, rows, foot = []) {
    const line = ([first, ...rest]) => make("tr", {},
      make("th", { scope: "row" }, first), ...rest.map((cell) => make("td", {}, cell)));
    const head = make("tr", {}, ...heads.map((each) => make("th", { scope: "col" }, each)));
    return make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows.map(line)),
      ...(foot.length ? [make("tfoot", {}, line(foot))] : []));
  }

  // ---- The setting.

  function makeSettings(changed) {
    const state = {}, nodes = [], controls = new Map();
    for (const [name, label, start] of SIZES) {
      const id = `own-${name}`;
      const input = make("input", { id, inputmode: "numeric", autocomplete: "off", size: 8 });
      const hint = make("span", { id: `${id}-hint`, class: "own-hint", hidden: "" },
        "an integer from 1 to 2^63 − 1");
      state[name] = start;
      input.addEventListener("input", () => {
        const size = readSize(input.value);
        hint.hidden = size !== undefined;
        input.toggleAttribute("aria-invalid", false);
        if (size === undefined) {
          input.setAttribute("aria-invalid", "true");
          input.setAttribute("aria-describedby", hint.id);
          return;
        }
        input.removeAttribute("aria-describedby");
        state[name] = size;
        changed();
      });
      controls.set(name, { read: readSize, show: (size) => { input.value = String(size); } });
      nodes.push(make("div", {}, make("label", { for: id }, `${label}, ${name}`), input, hint));
    }
    for (const [name, label, options, start] of SELECTS) {
      const id = `own-${name}`;
      const select = make("select", { id }, ...options.map((each) => make("option", {}, each)));
      state[name] = start;
      select.addEventListener("change", () => {
        state[name] = select.value;
        changed();
      });
      const read = (text) => (options.includes(text) ? text : undefined);
      controls.set(name, { read, show: (text) => { select.value = text; } });
      nodes.push(make("div", {}, make("label", { for: id }, label), select));
    }
    // Take what is legal of texts by name.
    function take(texts) {
      for (const [name, { read, show }] of controls) {
        const found = texts.has(name) ? read(texts.get(name)) : undefined;
        if (found !== undefined) state[name] = found;
        show(state[name]);
      }
    }
    take(new Map());
    return { state, take, names: [...controls.keys()],
      node: make("fieldset", { class: "own-settings" }, make("legend", {}, "Setting"), ...nodes) };
  }

  function readSize(text) {
    const digits = text.replace(/[,\s_]/g, "");
    if (!/^[0-9]{1,19}$/.test(digits)) return undefined;
    const size = BigInt(digits);
    return size >= 1n && size <= LARGEST ? size : undefined;
  }

  globalThis.EveryByte = {
    ...globalThis.EveryByte, inputs: { makeModel, makeSettings, table },
  };
})();
