// The explorer: moves a ledger in the page. One source for a classic script (pages, also
// from file://) and for the ES module of a live kernel, where explorer.py adds the
// export. It reads a spec (explorer.py writes it), never code: expressions are JSON trees
// that exact.js evaluates.
//
// window.EveryByte has
//   benchmark(element, n)   milliseconds of each of n random moves of one control of a
//                           mounted explorer, layout included (for make bench)
//   explorers               element -> {get(), set(values), result()}
(() => {
  "use strict";

  const {
    NAME, refuse, compile, marked, decimal, unitsFor, inUnit, short, formula,
    make, setText, setDigits, phone,
  } = globalThis.EveryByte.exact;

  // ---- The spec: read once, every field checked.

  function check(holds, message) {
    if (!holds) refuse(`the spec is not valid: ${message}`);
  }
  const isText = (value) => typeof value === "string";
  const isList = (value) => Array.isArray(value);
  const isIndex = (value, list) => Number.isInteger(value) && value in list;

  function readSpec(text) {
    const spec = JSON.parse(text);
    check(spec && spec.version === 1, "version");
    check(isText(spec.id) && /^[a-z][a-z0-9-]*$/.test(spec.id), "id");
    check(isText(spec.title), "title");
    check(isList(spec.selects) && isList(spec.sliders), "controls");
    const controls = [...spec.selects.map(readSelect), ...spec.sliders.map(readSlider)];
    const names = new Set(controls.map((control) => control.name));
    check(names.size === controls.length, "names");
    check(isList(spec.parts) && spec.parts.every(isText), "parts");
    check(isList(spec.trees) && isList(spec.forms) && isList(spec.cases), "cases");
    check(!spec.ratio || Object.values(spec.ratio).every(isText), "ratio");
    const trees = spec.trees.map((tree) => ({ tree, run: compile(tree) }));
    const forms = spec.forms.map((form) => readForm(form, spec, trees));
    check(spec.cases.every((index) => isIndex(index, forms)), "cases");
    const count = spec.selects.reduce((product, each) => product * each.options.length, 1);
    check(spec.cases.length === count, "number of cases");
    const budgets = (spec.budgets?.bytes ?? []).map(([name, tree]) => {
      check(isText(name), "budget");
      return { name, bytes: compile(tree)(new Map()) };
    });
    if (budgets.length) {
      const options = budgets.map((budget) => budget.name);
      controls.push(readSelect({ name: "budget", label: spec.budgets.label, options }));
    }
    const largest = spec.sliders.find((slider) => slider.name === spec.largest);
    return {
      id: spec.id, title: spec.title, parts: spec.parts, cases: spec.cases, forms,
      controls, budgets, largest: budgets.length && largest, ratio: spec.ratio,
      selects: controls.slice(0, spec.selects.length),
      sliders: controls.slice(spec.selects.length, spec.selects.length + spec.sliders.length),
    };
  }

  function readSelect(select) {
    const { name, label, options } = select;
    check(isText(name) && NAME.test(name) && isText(label), "select");
    check(isList(options) && options.length, "options");
    check(options.every((each) => isText(each) || Number.isSafeInteger(each)), "options");
    const find = (value) => options.find((option) => String(option) === String(value));
    return { name, label, options, start: options[0], read: find };
  }

  function readSlider(slider) {
    const { name, label, unit, min, max, start, step } = slider;
    check(isText(name) && NAME.test(name) && isText(label) && isText(unit), "slider");
    check([min, max, start].every(Number.isSafeInteger), "slider");
    check(min >= 0 && min <= start && start <= max, "slider");
    check(step === "power of two" || (Number.isSafeInteger(step) && step > 0), "step");
    const read = (value) => {
      const text = String(value);
      if (!/^[0-9]{1,16}$/.test(text)) return undefined;
      return Number(text) >= min && Number(text) <= max ? Number(text) : undefined;
    };
    return { name, label, unit, min, max, start, step, read, stops: powers(slider) };
  }

  function powers({ min, max, step }) {
    if (step !== "power of two") return null;
    const inside = [];
    for (let n = 1; n < max; n *= 2) if (n > min) inside.push(n);
    return [...new Set([min, ...inside, max])];
  }

  function readForm(form, spec, trees) {
    if (isText(form)) return { message: form, parts: [] };
    const list = spec.ratio ? form.parts : form;
    check(isList(list) && (!spec.ratio || isIndex(form.per, trees)), "form");
    const parts = list.map(([part, tree]) => {
      check(isIndex(part, spec.parts) && isIndex(tree, trees), "form");
      return { part, ...trees[tree] };
    });
    parts.sort((x, y) => x.part - y.part);
    return { message: "", parts, per: trees[form.per] };
  }

  // ---- What a setting amounts to. No page in here.

  // Parts are bytes; of a ratio, what stands above its line. `per` is what stands below.
  function bytesOf(part, values) {
    const value = part.run(values);
    if (typeof value !== "bigint" || value < 0n) refuse("is not a number of bytes");
    return value;
  }

  // A budget in the parts' own unit: of a ratio, so many times what stands below.
  function budgetOf(form, values, budget) {
    if (budget === undefined || !form.per) return budget;
    const { n, d } = typeof budget === "bigint" ? { n: budget, d: 1n } : budget;
    return (bytesOf(form.per, values) * n) / d;
  }

  const sum = (form, values) =>
    form.parts.reduce((total, part) => total + bytesOf(part, values), 0n);

  function formOf(spec, state) {
    const index = spec.selects.reduce(
      (sofar, { name, options }) => sofar * options.length + options.indexOf(state[name]),
      0,
    );
    return spec.forms[spec.cases[index]];
  }

  const valuesOf = (spec, state) =>
    new Map(spec.sliders.map(({ name }) => [name, BigInt(state[name])]));

  const LIMIT = 2n ** 62n;

  // The largest value whose total fits: 0n if none does, null if there is no limit.
  // Totals grow with every size, so a bisection is exact.
  function largestFitting(form, values, name, budget) {
    const fits = (size) => {
      const tried = new Map(values).set(name, size);
      return sum(form, tried) <= budgetOf(form, tried, budget);
    };
    if (!fits(1n)) return 0n;
    let low = 1n, high = 2n;
    while (fits(high)) {
      if (high > LIMIT) return null;
      [low, high] = [high, high * 2n];
    }
    while (high - low > 1n) {
      const middle = (low + high) / 2n;
      if (fits(middle)) low = middle;
      else high = middle;
    }
    return low;
  }

  function resultOf(spec, state) {
    const form = formOf(spec, state);
    const chosen = spec.budgets.find(({ name }) => name === state.budget)?.bytes;
    const line = spec.ratio ? undefined : chosen;  // of a ratio it moves with the sizes
    if (form.message) return { form, budget: line, message: form.message };
    try {
      const values = valuesOf(spec, state);
      const budget = budgetOf(form, values, chosen);
      const bytes = form.parts.map((part) => bytesOf(part, values));
      const total = bytes.reduce((x, y) => x + y, 0n);
      const largest = spec.largest
        ? largestFitting(form, values, spec.largest.name, chosen) : undefined;
      const units = spec.ratio
        ? { si: [spec.ratio.unit, bytesOf(form.per, values)] } : unitsFor(total);
      return { form, budget, bytes, total, largest, units };
    } catch (error) {
      return { form, budget: line, message: error.message };
    }
  }

  // ---- The page. Elements are made by name and filled with text, never with HTML.

  const SVG = "http://www.w3.org/2000/svg";

  function draw(tag, attributes = {}, ...children) {
    const node = document.createElementNS(SVG, tag);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  }

  function setAttribute(node, name, value) {
    if (node.getAttribute(name) !== value) node.setAttribute(name, value);
  }

  // Boxes and rows are not a part's own: showing other parts then costs no new layout tree.
  const longest = ({ forms }) => Math.max(...forms.map(({ parts }) => parts.length));
  const upTo = (count, build) => Array.from({ length: count }, build);

  function makeControl(control, uid, change) {
    const id = `${uid}-${control.name}`;
    return control.options
      ? makeSelect(control, id, change) : makeSlider(control, id, change);
  }

  function makeSelect({ name, label, options, read }, id, change) {
    const select = make("select", { id, name });
    for (const option of options) {
      select.append(make("option", { value: String(option) }, String(option)));
    }
    select.addEventListener("change", () => change(name, read(select.value)));
    const node = make("div", { class: "ebx-control" }, make("label", { for: id }, label), select);
    return { node, show: (value) => { select.value = String(value); } };
  }

  function makeSlider(slider, id, change) {
    const { name, label, unit, min, max, step, stops, read } = slider;
    const ends = stops ? { min: 0, max: stops.length - 1, step: 1 } : { min, max, step };
    const range = make("input", { type: "range", id, ...ends });
    const exact = make("input", {
      type: "number", inputmode: "numeric", id: `${id}-exact`, min, max, step: 1,
      "aria-label": `${label}, exact`,
    });
    const hint = make("span", { class: "ebx-hint", id: `${id}-hint`, hidden: "" },
      `an integer from ${marked(min)} to ${marked(max)}`);
    range.addEventListener("input", () => {
      const position = Number(range.value);
      change(name, stops ? stops[position] : read(position));
    });
    function showInvalid(isInvalid) {
      exact.toggleAttribute("aria-invalid", false);
      if (isInvalid) exact.setAttribute("aria-invalid", "true");
      if (isInvalid) exact.setAttribute("aria-describedby", hint.id);
      else exact.removeAttribute("aria-describedby");
      hint.hidden = !isInvalid;
    }
    let shown;
    exact.addEventListener("input", () => {
      const value = read(exact.value);
      showInvalid(value === undefined);
      if (value !== undefined) change(name, value, exact);
    });
    exact.addEventListener("blur", () => {
      exact.value = String(shown);
      showInvalid(false);
    });
    const node = make("div", { class: "ebx-control" },
      make("label", { for: id }, ...labelled(label, unit)),
      make("div", { class: "ebx-slider" }, range, exact), hint);
    function show(value, source) {
      shown = value;
      range.value = String(stops ? position(stops, value) : value);
      range.setAttribute("aria-valuetext", `${marked(value)} ${unit}`);
      if (source === exact) return;
      exact.value = String(value);
      if (!hint.hidden) showInvalid(false);
    }
    return { node, show };
  }

  function position(stops, value) {
    const next = stops.findIndex((stop) => stop > value);
    return next < 0 ? stops.length - 1 : Math.max(next - 1, 0);
  }

  const labelled = (label, unit) => label.includes(unit)
    ? [label] : [label, make("span", { class: "ebx-unit" }, ` (${unit})`)];

  // Hatches, so that parts differ by more than colour.
  const HATCHES = [
    "", "M-2 10 10 -2M6 14 14 6M-6 6 6 -6", "M4 4h.01", "M-2 -2 14 14M-6 2 6 14M2 -6 14 6",
    "M4 0V8", "M0 4H8M4 0V8", "M0 4H8",
  ];

  function makeHatches(uid) {
    const patterns = HATCHES.map((d, i) => draw("pattern",
      { id: `${uid}-hatch-${i}`, width: 8, height: 8, patternUnits: "userSpaceOnUse" },
      draw("path", { d, class: "ebx-hatch", "stroke-linecap": "round",
        "stroke-width": i === 2 ? 3.5 : 1.6 })));
    const over = draw("pattern", { id: `${uid}-over`, width: 10, height: 10,
      patternUnits: "userSpaceOnUse" },
      draw("rect", { class: "ebx-over-veil", width: 10, height: 10 }),
      draw("path", { d: "M-2 12 12 -2M-2 2 2 -2M8 12 12 8", class: "ebx-over-line" }));
    return draw("defs", {}, ...patterns, over);
  }

  // A box looks like its part: a colour, a hatch over it. Both are thick lines, because
  // the ends of a line are no style: moving them computes none.
  const makeLine = () => draw("line", { y1: "50%", y2: "50%" });
  const makeBox = () => draw("g", {}, makeLine(), makeLine());

  function paint({ children: [colour, hatch] }, uid, part) {
    setAttribute(colour, "class", `ebx-colour-${part % 8}`);
    setAttribute(hatch, "stroke", `url(#${uid}-hatch-${part % HATCHES.length})`);
  }

  function place(box, from, to) {
    for (const line of box.children) {
      setAttribute(line, "x1", `${from}%`);
      setAttribute(line, "x2", `${to}%`);
    }
  }

  // Pixels only: the one place where a number is not exact.
  const percent = (part, of) => (of ? Number((part * 100000n) / of) / 1000 : 0);

  function makeBar(spec, uid) {
    const boxes = upTo(longest(spec), makeBox);
    const over = draw("rect", { class: "ebx-over", height: "100%", fill: `url(#${uid}-over)` });
    const line = draw("rect", { class: "ebx-line", height: "100%", width: 3 });
    const svg = draw("svg", { class: "ebx-bar", "aria-hidden": "true" },
      makeHatches(uid), ...boxes, over, line);
    const mark = make("div", { class: "ebx-mark", "aria-hidden": "true" });
    function show({ form, bytes = [], total = 0n, budget, units }) {
      const axis = budget !== undefined && budget > total ? budget : total;
      boxes.forEach((box, i) => box.toggleAttribute("hidden", i >= bytes.length));
      let from = 0n;
      bytes.forEach((count, i) => {
        paint(boxes[i], uid, form.parts[i].part);
        place(boxes[i], percent(from, axis), percent(from + count, axis));
        from += count;
      });
      over.toggleAttribute("hidden", budget === undefined || total <= budget);
      line.toggleAttribute("hidden", budget === undefined);
      mark.toggleAttribute("hidden", budget === undefined);
      if (budget === undefined) return;
      const at = percent(budget, axis);
      setAttribute(over, "x", `${at}%`);
      setAttribute(over, "width", `${100 - at}%`);
      setAttribute(line, "x", `${at}%`);
      setAttribute(line, "transform", at > 50 ? "translate(-3 0)" : "");
      setText(mark, spec.ratio
        ? `${spec.ratio.budget} ${inUnit(budget, units.si)}` : `budget ${short(budget)}`);
      mark.style.marginLeft = at > 50 ? "0" : `${at}%`;
      mark.style.marginRight = at > 50 ? `${100 - at}%` : "0";
      mark.style.textAlign = at > 50 ? "right" : "left";
    }
    return { nodes: [svg, mark], show };
  }

  function makeTable(spec, uid) {
    const si = make("th", { scope: "col" }), iec = make("th", { scope: "col" });
    const rows = upTo(longest(spec), () => makeRow(spec, uid));
    const foot = makeTotal(spec);
    const heads = spec.ratio ? [si] : [make("th", { scope: "col" }, "bytes"), si, iec];
    const table = make("table", { class: "ebx-table" },
      make("caption", {}, spec.ratio?.caption ?? "Bytes by part"),
      make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "part"), ...heads)),
      ...rows.map((row) => row.group),
      make("tfoot", {}, foot.node));
    function show({ form, bytes = [], total, units, message }) {
      table.classList.toggle("ebx-absent", message !== undefined);
      if (message !== undefined) return;
      setText(si, units.si[0]);
      if (units.iec) setText(iec, units.iec[0]);
      rows.forEach((row, i) => row.group.toggleAttribute("hidden", i >= bytes.length));
      bytes.forEach((count, i) => rows[i].show(form.parts[i], count, units));
      foot.show(total, units);
    }
    return { node: table, show };
  }

  function makeCells({ ratio }) {
    const [whole, si, iec] = upTo(3, () => make("td"));
    function show(count, units) {
      setDigits(whole, marked(count));
      setText(si, decimal(count, units.si[1]));
      if (units.iec) setText(iec, decimal(count, units.iec[1]));
    }
    return { nodes: ratio ? [si] : [whole, si, iec], show };
  }

  function makeTotal(spec) {
    const cells = makeCells(spec);
    const node = make("tr", {}, make("th", { scope: "row" }, "total"), ...cells.nodes);
    return { node, show: cells.show };
  }

  function makeRow(spec, uid) {
    const box = makeBox(), cells = makeCells(spec);
    place(box, 0, 100);
    const swatch = draw("svg", { class: "ebx-swatch", "aria-hidden": "true" }, box);
    const name = make("span"), small = make("td", { class: "ebx-formula", colspan: 4 });
    const detail = make("tr", { hidden: "" }, small);
    const group = make("tbody", {},
      make("tr", {}, make("th", { scope: "row" }, swatch, name), ...cells.nodes), detail);
    function explain(part) {
      part.text ??= formula(part.tree);
      const isShort = part.text.length <= 80 && /[A-Za-z]/.test(part.text);
      if (isShort) setText(small, part.text);
      detail.toggleAttribute("hidden", !isShort);
      group.classList.toggle("ebx-detailed", isShort);
    }
    function show(part, count, units) {
      paint(box, uid, part.part);
      setText(name, spec.parts[part.part]);
      if (spec.sliders.length && !spec.ratio) explain(part);
      cells.show(count, units);
    }
    return { group, show };
  }

  const filled = (text, value) => text.replace("{}", value);

  function verdict({ total, budget, message }, ratio) {
    if (message !== undefined) return ["none", "This choice does not exist: " + message];
    if (budget === undefined) return ["none", ""];
    if (ratio && total <= budget) {
      return ["below", filled(ratio.fits, decimal(100n * total, budget))];
    }
    if (ratio) return ["above", filled(ratio.over, decimal(100n * budget, total))];
    if (total <= budget) return ["fits", `Fits. ${short(budget - total)} stay free.`];
    const times = decimal(total, budget);
    const over = short(total - budget);
    return ["over", `Does not fit: ${over} too much, ${times} times the budget.`];
  }

  function largestText({ largest, message }, slider, ratio) {
    if (!slider || message !== undefined) return "";
    const { name } = slider;
    if (ratio && largest === null) return ratio.any;
    if (ratio) return filled(ratio.largest, marked(largest));
    if (largest === null) return `Any ${name} fits: the total stays below the budget.`;
    if (largest === 0n) return `Not even ${name} = 1 fits with these settings.`;
    return `Largest ${name} that fits with these settings: ${marked(largest)}`;
  }

  let mounted = 0;

  // Mount an explorer in `root`. `start` holds values that replace the spec's.
  function mount(root, text, { start = {}, change = () => {} } = {}) {
    const spec = readSpec(text);
    const uid = `${spec.id}-${++mounted}`;
    const state = Object.fromEntries(spec.controls.map(({ name, start }) => [name, start]));
    const controls = new Map();
    for (const control of spec.controls) {
      controls.set(control.name, makeControl(control, uid, move));
    }
    const headline = make("output", { class: "ebx-total", "aria-live": "off" });
    const exact = make("span", { class: "ebx-exact" });
    const judged = make("output", { class: "ebx-verdict", "aria-live": "off" });
    const largest = make("output", { class: "ebx-largest", "aria-live": "off" });
    const spoken = make("div", { class: "ebx-spoken", role: "status", "aria-live": "polite" });
    const reset = make("button", { type: "button", class: "ebx-reset" }, "Reset");
    const bar = makeBar(spec, uid), table = makeTable(spec, uid);
    const grid = make("div", { class: "ebx-controls" },
      ...[...controls.values()].map((control) => control.node));
    const scroller = make("div", { class: "ebx-scroll" }, table.node);
    const outcome = make("div", { class: "ebx-outcome" },
      make("p", { class: "ebx-answer" }, headline, exact), ...bar.nodes, judged, largest,
      scroller);
    const frame = make("div", { class: "ebx-frame" }, outcome);
    const live = make("div",
      { class: "ebx-live", role: "group", "aria-labelledby": `${uid}-title` },
      make("div", { class: "ebx-head" },
        make("p", { class: "ebx-title", id: `${uid}-title` }, spec.title), reset),
      grid, frame, spoken);
    const drawn = new Map();
    let timer = 0, result;

    function update(source) {
      for (const [name, control] of controls) {
        if (drawn.get(name) !== state[name]) control.show(state[name], source);
        drawn.set(name, state[name]);
      }
      result = resultOf(spec, state);
      const { total, units, message } = result;
      const isNone = message !== undefined;
      setText(headline, isNone ? "no total" : inUnit(total, units.si));
      setText(exact, isNone || spec.ratio ? "" : `${inUnit(total, units.iec)}, `
        + `exactly ${marked(total)} bytes`);
      const [mood, words] = verdict(result, spec.ratio);
      setText(judged, words);
      setAttribute(judged, "data-mood", mood);
      judged.toggleAttribute("hidden", words === "");
      const search = largestText(result, spec.largest, spec.ratio);
      setText(largest, search);
      largest.toggleAttribute("hidden", search === "");
      bar.show(result);
      table.show(result);
      fit();
    }

    // The frame is as high as the highest outcome that it has held at this width. Then a
    // move does not push the text below it up and down, nor has the page a new layout.
    let room = { width: 0, height: 0 };
    function fit() {
      const { width, height } = outcome.getBoundingClientRect();
      if (width === room.width && height <= room.height) return;
      room = { width, height };
      frame.style.height = `${height}px`;
    }

    // One sentence, once the reader has come to rest.
    function announce() {
      clearTimeout(timer);
      timer = setTimeout(() => {
        const total = result.message === undefined ? `Total ${headline.textContent}.` : "";
        setText(spoken, [total, judged.textContent, largest.textContent].join(" ").trim());
      }, 900);
    }

    // Take what is legal of `values`; true if anything was.
    function take(values) {
      const legal = spec.controls.filter(({ name, read }) =>
        Object.hasOwn(values, name) && read(values[name]) !== undefined);
      for (const { name, read } of legal) state[name] = read(values[name]);
      return legal.length > 0;
    }

    function move(name, value, source) {
      if (!take({ [name]: value })) return;
      update(source);
      announce();
      change({ ...state });
    }

    reset.addEventListener("click", () => {
      room = { width: 0, height: 0 };
      take(Object.fromEntries(spec.controls.map(({ name, start }) => [name, start])));
      update();
      announce();
      change({ ...state });
    });
    const rewrap = () => table.show(result);
    const explorer = {
      spec,
      close: () => phone.removeEventListener("change", rewrap),
      get: () => ({ ...state }),
      set: (values) => { if (take(values)) update(); },
      result: () => result,
    };
    take(start);
    update();
    root.append(live);
    root.classList.add("ebx-mounted");
    fit();
    const watch = new ResizeObserver(() => {
      fit();
      const scrolls = scroller.scrollWidth > scroller.clientWidth;
      if (scrolls) scroller.tabIndex = 0;
      else scroller.removeAttribute("tabindex");
    });
    watch.observe(scroller);
    watch.observe(table.node);
    watch.observe(outcome);
    phone.addEventListener("change", rewrap);
    explorers.set(root, explorer);
    return explorer;
  }

  // ---- The address: #kv-cache.model=Qwen3-0.6B&kv-cache.t=8192

  function fragmentPairs() {
    return location.hash.slice(1).split("&").flatMap((pair) => {
      const [key, ...rest] = pair.split("=");
      if (!rest.length) return [];
      try {
        return [[decodeURIComponent(key), decodeURIComponent(rest.join("="))]];
      } catch {
        return [];
      }
    });
  }

  function readFragment(id) {
    const own = fragmentPairs().filter(([key]) => key.startsWith(`${id}.`));
    return Object.fromEntries(own.map(([key, value]) => [key.slice(id.length + 1), value]));
  }

  let writer = 0;
  const unwritten = new Map();

  function writeFragment(id, state) {
    unwritten.set(id, state);
    clearTimeout(writer);
    writer = setTimeout(() => {
      let pairs = fragmentPairs();
      for (const [id, state] of unwritten) {
        pairs = pairs.filter(([key]) => !key.startsWith(`${id}.`));
        pairs.push(...Object.entries(state).map(([name, value]) => [`${id}.${name}`, value]));
      }
      unwritten.clear();
      const text = pairs.map((pair) => pair.map(encodeURIComponent).join("=")).join("&");
      history.replaceState(history.state, "", `#${text}`);
    }, 300);
  }

  // ---- The three homes: a page, a live kernel, a clock.

  const explorers = new Map();

  function mountInPage(root) {
    const text = root.dataset.spec;
    try {
      const { id } = JSON.parse(text);
      const start = readFragment(id);
      const change = (state) => writeFragment(id, state);
      const explorer = mount(root, text, { start, change });
      window.addEventListener("hashchange", () => explorer.set(readFragment(id)));
      if (Object.keys(start).length) root.scrollIntoView({ block: "center" });
    } catch (error) {
      root.prepend(make("p", { class: "ebx-broken" },
        `The explorer cannot start (${error.message}). The table holds without it.`));
    }
  }

  function render({ model, el }) {
    const root = make("div", { class: "ebx" });
    const explorer = mount(root, model.get("spec"), {
      start: model.get("state"),
      change(state) {
        model.set("state", state);
        model.save_changes();
      },
    });
    const follow = () => explorer.set(model.get("state"));
    model.on("change:state", follow);
    el.append(root);
    return () => {
      model.off("change:state", follow);
      explorer.close();
      explorers.delete(root);
    };
  }

  function benchmark(element, n) {
    const explorer = explorers.get(element);
    const pick = (count) => Math.floor(Math.random() * count);
    const random = ({ options, min, max }) =>
      options ? options[pick(options.length)] : min + pick(max - min + 1);
    return Array.from({ length: n }, () => {
      const control = explorer.spec.controls[pick(explorer.spec.controls.length)];
      const value = random(control);
      const before = performance.now();
      explorer.set({ [control.name]: value });
      element.getBoundingClientRect();
      return performance.now() - before;
    });
  }

  Object.assign(globalThis.EveryByte, { benchmark, explorers, render });

  function start() {
    document.querySelectorAll("every-byte-explorer[data-spec]").forEach(mountInPage);
  }
  // A module has no current script; in a live kernel `render` does the mounting.
  if (document.currentScript) {
    if (document.readyState !== "loading") start();
    else document.addEventListener("DOMContentLoaded", start);
  }
})();
