"use strict";
// What a page gains where scripts run: values under the pointer, lines to hide, tables to sort, copying, pictures.
(() => {
  const all = (root, what) => [...root.querySelectorAll(what)];
  const make = (tag, name, text) => {
    const element = document.createElement(tag);
    if (name) element.className = name;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const tool = (text, act) => {
    const button = make("button", "tool", text);
    button.type = "button";
    button.addEventListener("click", async () => {
      let done = true;
      try { done = (await act()) !== false; } catch { done = false; }
      button.textContent = done ? "Done" : "Not possible here";
      setTimeout(() => { button.textContent = text; }, 1500);
    });
    return button;
  };

  const copy = async (text) => {
    try { return await navigator.clipboard.writeText(text); } catch { /* not allowed: the old way */ }
    const area = make("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  };
  for (const pre of all(document, "pre")) {
    const box = make("div", "copyable");
    pre.replaceWith(box);
    const button = tool("Copy", () => copy(pre.textContent));
    button.setAttribute("aria-label", "Copy: " + (pre.getAttribute("aria-label") || "text"));
    box.append(pre, button);
  }

  // Tables: the head of a column sorts by it; a third press brings the first order back.
  const worth = (cell) => {
    if (!cell) return "";
    if (cell.dataset.sort !== undefined) return Number(cell.dataset.sort);
    const text = cell.textContent.trim();
    const number = text.replace(/[\s,]/g, "").replace("−", "-").match(/^[+-]?\d+(\.\d+)?(e[+-]?\d+)?/i);
    return number ? Number(number[0]) : text;
  };
  const order = (one, other) => {
    if (one === other) return 0;
    if (one === "") return 1;
    if (other === "") return -1;
    if (typeof one === typeof other) return typeof one === "number" ? one - other : one.localeCompare(other);
    return typeof one === "number" ? -1 : 1;
  };
  for (const table of all(document, "table")) {
    const body = table.tBodies[0], first = [...body.rows], heads = [...table.tHead.rows[0].cells];
    if (first.length < 2) continue;
    heads.forEach((head, column) => {
      const button = make("button", "", head.textContent);
      button.type = "button";
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const now = { ascending: "descending", descending: null }[head.getAttribute("aria-sort")];
        const next = now === undefined ? "ascending" : now;
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        if (next) head.setAttribute("aria-sort", next);
        const sign = next === "descending" ? -1 : 1;
        const sorted = next ? [...first].sort((a, b) => {
          const one = worth(a.cells[column]), other = worth(b.cells[column]);
          return one === "" || other === "" ? order(one, other) : sign * order(one, other);
        }) : first;
        body.append(...sorted);
      });
    });
  }

  for (const figure of all(document, "figure")) {
    const plot = figure.querySelector(".plot"), table = figure.querySelector("table");
    const places = JSON.parse(plot.dataset.places);
    const entries = all(figure, ".legend > li").map((item) => {
      const entry = { shown: true, name: item.textContent.trim(), swatch: item.querySelector("svg"), at: item.dataset.entry,
        values: JSON.parse(item.dataset.values || "[]") };
      const drawn = () => all(plot, `[data-line="${entry.at}"]`);
      const button = make("button");
      button.type = "button";
      button.setAttribute("aria-pressed", "true");
      button.append(...item.childNodes);
      item.append(button);
      button.addEventListener("click", () => {
        entry.shown = !entry.shown;
        button.setAttribute("aria-pressed", String(entry.shown));
        drawn().forEach((part) => part.classList.toggle("gone", !entry.shown));
      });
      const others = (faint) => all(plot, "[data-line]").forEach(
        (part) => part.classList.toggle("faint", faint && entry.shown && part.dataset.line !== entry.at));
      button.addEventListener("pointerenter", () => others(true));
      button.addEventListener("pointerleave", () => others(false));
      return entry;
    });
    if (places.length && entries.some((entry) => entry.values.length)) values(plot, places, entries);
    const tools = make("div", "tools");
    tools.append(
      tool("Copy data", () => copy(all(table, "tr").map((row) => [...row.cells].map((c) => c.textContent.trim()).join("\t")).join("\n"))),
      tool("Save as PNG", () => picture(figure, plot, entries)));
    figure.querySelector("figcaption").after(tools);
  }

  for (const section of all(document, ".choose")) choose(section, JSON.parse(section.dataset.selection));

  // Points of a sweep by their levels, and one age: what is shown of them, and their mean with its interval.
  function choose(section, data) {
    const [seeds, chips, ages] = data.shape, size = seeds * chips * ages;
    const on = data.factors.map((factor) => factor.levels.map(() => true));
    const head = section.querySelector("h2");
    const bar = make("div", "bar"), told = make("p", "told"), table = make("table"), box = make("div", "scroll");
    told.setAttribute("aria-live", "polite");
    box.tabIndex = 0;
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", "Mean of the chosen points");
    box.append(table);
    const group = (name, entries, press) => {
      const row = make("div", "choice");
      row.setAttribute("role", "group");
      row.setAttribute("aria-label", name);
      row.append(make("span", "", name), ...entries.map((entry, i) => {
        const button = make("button", "tool", entry);
        button.type = "button";
        button.setAttribute("aria-pressed", String(press(i, false)));
        button.addEventListener("click", () => {
          press(i, true);
          [...row.querySelectorAll("button")].forEach((other, k) => other.setAttribute("aria-pressed", String(press(k, false))));
          update();
        });
        return button;
      }));
      bar.append(row);
    };
    data.factors.forEach((factor, f) => group(factor.path, factor.levels, (i, pressed) => {
      if (pressed && on[f].every(Boolean)) on[f].fill(false);  // the first press chooses this level alone
      if (pressed) on[f][i] = !on[f][i];
      if (pressed && !on[f].some(Boolean)) on[f].fill(true);
      return on[f][i];
    }));
    let age = -1;
    if (ages > 1) group("age", data.ages, (i, pressed) => {
      if (pressed) age = age === i ? -1 : i;
      return age === i || age < 0;
    });
    const mean = (list) => list.reduce((sum, one) => sum + one, 0) / list.length;
    const spread = (list) => { const m = mean(list); return list.reduce((sum, one) => sum + (one - m) ** 2, 0) / (list.length - 1); };
    const t = (freedom) => data.t[Math.max(1, Math.min(data.t.length, Math.floor(freedom + 1e-9))) - 1];
    // Half the width of the interval of a mean over chips and seeds, both drawn; as mho.statistics.crossed has it.
    const overUnits = (cells) => {
      const rows = [...Array(seeds).keys()].map((s) => cells.slice(s * chips, (s + 1) * chips));
      const columns = [...Array(chips).keys()].map((c) => rows.map((row) => row[c]));
      if (seeds * chips < 2) return Infinity;
      if (seeds < 2 || chips < 2) return t(cells.length - 1) * Math.sqrt(spread(cells) / cells.length);
      const bySeed = chips * spread(rows.map(mean)), byChip = seeds * spread(columns.map(mean)), all = mean(cells);
      let rest = 0;
      rows.forEach((row) => row.forEach((one, c) => { rest += (one - mean(row) - mean(columns[c]) + all) ** 2; }));
      rest /= (seeds - 1) * (chips - 1);
      const sum = bySeed + byChip - rest, least = Math.max(bySeed, byChip);
      const freedom = sum > least
        ? sum ** 2 / (bySeed ** 2 / (seeds - 1) + byChip ** 2 / (chips - 1) + rest ** 2 / ((seeds - 1) * (chips - 1)))
        : (byChip >= bySeed ? chips : seeds) - 1;
      return t(freedom) * Math.sqrt(Math.max(sum, least) / (seeds * chips));
    };
    const shown = (worth) => {
      if (data.form === "share") return (100 * worth).toFixed(1);
      const value = data.form === "perplexity" ? Math.exp(-worth) : data.form === "error" ? -worth : worth;
      return String(Number(value.toPrecision(4)));
    };
    const words = (worth, half) => {
      const unit = data.form === "share" ? " %" : data.unit ? " " + data.unit : "";
      if (!Number.isFinite(half)) return shown(worth) + unit + " [unknown]";
      const limits = data.form === "share" ? [Math.max(worth - half, 0), Math.min(worth + half, 1)] : [worth - half, worth + half];
      if (data.form === "share" && limits[0] === 0 && limits[1] === 1) return shown(worth) + unit + " [unknown]";
      const ends = limits.map(shown).sort((a, b) => a - b);
      return shown(worth) + unit + " [" + ends.join(", ") + "]";
    };
    const update = () => {
      const chosen = data.codes.map((code) => code.every((level, f) => on[f][level]));
      const picked = chosen.map((is, i) => (is ? i : -1)).filter((i) => i >= 0);
      const hidden = new Set(data.points.filter((_, i) => !chosen[i]).map(String));
      all(document, "tr[data-point]").forEach((row) => { row.hidden = hidden.has(row.dataset.point); });
      all(document, "svg [data-point]").forEach((line) => line.classList.toggle("gone", hidden.has(line.dataset.point)));
      all(document, "details[data-age]").forEach((part) => {
        part.hidden = age >= 0 && Number(part.dataset.age) !== age;
        if (age >= 0 && !part.hidden) part.open = true;
      });
      told.textContent = picked.length === data.codes.length ? `All ${picked.length} points:`
        : `${picked.length} of ${data.codes.length} points:`;
      const found = data.ages.map((name, a) => {
        const cells = [...Array(seeds * chips).keys()].map((u) => mean(picked.map((i) => data.worths[i * size + u * ages + a])));
        let half = overUnits(cells);
        if (data.drawn) {
          const each = picked.map((i) => mean([...Array(seeds * chips).keys()].map((u) => data.worths[i * size + u * ages + a])));
          const points = each.length > 1 ? t(each.length - 1) * Math.sqrt(spread(each) / each.length) : Infinity;
          half = Math.hypot(points, Number.isFinite(half) ? half : 0);
        }
        return picked.length ? words(mean(cells), half) : "";
      });
      const line = (tag, texts, scope) => {
        const row = make("tr");
        texts.forEach((text, i) => {
          const cell = make(tag, "", text);
          if (scope) cell.scope = "col";
          if (!scope || age < 0 || i === age) row.append(cell);
        });
        return row;
      };
      const body = line("td", found);
      if (age >= 0) [...body.cells].forEach((cell, i) => { if (i !== age) cell.remove(); });
      const top = make("thead"), rest = make("tbody");
      top.append(line("th", data.ages, true));
      rest.append(body);
      table.replaceChildren(top, rest);
    };
    section.append(bar, told, box);
    head.after(make("p", "note", "The first press chooses one alone, the next ones add. Points are hidden in their table and figure, ages in every table; the mean is of what is chosen."));
    section.hidden = false;
    update();
  }

  // Values of the nearest place under the pointer, or by the arrow keys.
  function values(plot, places, entries) {
    const rule = make("div", "rule"), tip = make("div", "tip");
    tip.setAttribute("aria-live", "polite");
    rule.hidden = tip.hidden = true;
    plot.append(rule, tip);
    plot.tabIndex = 0;
    plot.setAttribute("role", "group");
    plot.setAttribute("aria-label", "Values: arrow keys go through the places");
    let here = -1;
    const pane = () => all(plot, ".pane").find((one) => one.offsetWidth > 0);
    const show = (place) => {
      const box = pane(), svg = box.querySelector("svg"), share = JSON.parse(box.dataset.at)[place], across = box.dataset.along === "x";
      const size = across ? svg.clientWidth : svg.clientHeight, at = Math.round(share * size);
      Object.assign(rule.style, across
        ? { left: at + "px", top: "0", width: "1px", height: svg.clientHeight + "px" }
        : { top: at + "px", left: "0", height: "1px", width: svg.clientWidth + "px" });
      if (place !== here) {
        tip.replaceChildren(make("b", "", places[place]));
        for (const entry of entries.filter((one) => one.shown && one.values[place])) {
          const row = make("div");
          row.append(entry.swatch.cloneNode(true), make("span", "", entry.name), make("i", "", entry.values[place]));
          tip.append(row);
        }
        here = place;
      }
      rule.hidden = tip.hidden = false;
      const room = plot.clientWidth - tip.offsetWidth;
      const left = across ? (at + 14 > room ? at - tip.offsetWidth - 14 : at + 14) : room;
      tip.style.left = Math.max(0, Math.min(left, room)) + "px";
      tip.style.top = across ? "" : Math.min(at + 10, Math.max(0, svg.clientHeight - tip.offsetHeight)) + "px";
    };
    const hide = () => { rule.hidden = tip.hidden = true; here = -1; };
    const point = (event) => {
      const box = pane(), edge = box.querySelector("svg").getBoundingClientRect();
      const share = box.dataset.along === "x" ? (event.clientX - edge.left) / edge.width : (event.clientY - edge.top) / edge.height;
      const gaps = JSON.parse(box.dataset.at).map((one) => Math.abs(one - share));
      show(gaps.indexOf(Math.min(...gaps)));
    };
    plot.addEventListener("pointermove", point);
    plot.addEventListener("pointerdown", point);
    plot.addEventListener("pointerleave", hide);
    plot.addEventListener("blur", hide);
    plot.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (event.key === "Escape") hide();
      if (!step) return;
      event.preventDefault();
      show(here < 0 ? (step > 0 ? 0 : places.length - 1) : Math.max(0, Math.min(places.length - 1, here + step)));
    });
  }

  // The figure with its heading and the legend of what is shown, in the page's colours, as a file.
  async function picture(figure, plot, entries) {
    const root = getComputedStyle(document.documentElement), dpr = 2, pad = 24;
    const inked = (text) => text.replace(/var\((--[\w-]+)\)/g, (_, name) => root.getPropertyValue(name).trim().replaceAll('"', "'"));
    const image = async (svg, width, height) => {
      const copy = svg.cloneNode(true);
      all(copy, ".gone").forEach((part) => part.remove());
      copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
      copy.setAttribute("width", width);
      copy.setAttribute("height", height);
      const picture = new Image();
      picture.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(inked(new XMLSerializer().serializeToString(copy)));
      await picture.decode();
      return picture;
    };
    const svg = plot.querySelector(".wide svg"), view = svg.viewBox.baseVal;
    const width = 900, height = Math.round(width * view.height / view.width);
    const shown = entries.filter((entry) => entry.shown);
    const canvas = make("canvas"), pen = canvas.getContext("2d");
    const font = "15px " + root.getPropertyValue("--sans"), bold = "600 20px " + root.getPropertyValue("--sans");
    pen.font = font;
    const spots = [];
    let x = 0, y = 0;
    for (const entry of shown) {
      const size = 36 + pen.measureText(entry.name).width + 24;
      if (x && x + size > width) { x = 0; y += 24; }
      spots.push([x, y]);
      x += size;
    }
    const top = pad + 34 + (shown.length ? y + 34 : 0);
    canvas.width = (width + 2 * pad) * dpr;
    canvas.height = (top + height + pad) * dpr;
    pen.scale(dpr, dpr);
    pen.fillStyle = root.getPropertyValue("--paper");
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.fillStyle = root.getPropertyValue("--ink");
    pen.textBaseline = "middle";
    pen.font = bold;
    pen.fillText(figure.closest("section").querySelector("h2").textContent, pad, pad + 10, width);
    pen.font = font;
    for (const [i, entry] of shown.entries()) {
      const [left, down] = spots[i];
      pen.drawImage(await image(entry.swatch, 28 * dpr, 14 * dpr), pad + left, pad + 34 + down, 28, 14);
      pen.fillText(entry.name, pad + left + 36, pad + 42 + down, width - left - 36);
    }
    pen.drawImage(await image(svg, width * dpr, height * dpr), pad, top, width, height);
    const link = make("a");
    const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
    link.href = URL.createObjectURL(blob);
    link.download = figure.id + ".png";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }
})();
