"use strict";
// Draws the report from the JSON in #data.  Text from the web only ever becomes text nodes.
const RUNS = JSON.parse(document.getElementById("data").textContent);
const RUN = RUNS[0];
const PAGE = document.getElementById("page");
const number = new Intl.NumberFormat("en");
const int = (n) => number.format(n);
const percent = (x, digits = 1) => `${(100 * x).toFixed(digits)}%`;
const short = (x) => (Number.isInteger(x) ? int(x) : Math.abs(x) >= 1000 ? int(Math.round(x)) : String(Number(x.toPrecision(4))));

function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((c) => c !== null && c !== undefined));
  return node;
}

function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function section(id, title, note, ...children) {
  PAGE.append(el("section", { id }, el("h2", {}, title), note ? el("p", { class: "soft" }, note) : null, ...children));
}

const cell = (text, left) => el("td", left ? { class: "left" } : {}, text);
const heads = (...names) => el("tr", {}, names.map((n, i) => el("th", i && n !== "reasons" ? {} : { class: "left" }, n)));

// ---- summary and funnel

function summary(run) {
  const share = run.funnel.rows ? run.funnel.kept / run.funnel.rows : 0;
  return el("div", {}, el("p", { class: "big" }, el("b", {}, int(run.funnel.kept)), ` of ${int(run.funnel.rows)} rows kept (${percent(share)})`),
    el("p", { class: "soft small" }, `run ${run.run}, pairmill ${run.pairmill}`),
    run.packages.map((p) => el("p", { class: "soft small" }, `${p.format}: ${int(p.samples)} samples in ${int(p.shards)} shards, ${[p.path, ...(p.chosen || [])].join("; ")}`)),
    run.sampled ? el("p", { class: "small" }, `The funnel and the outcomes of downloads count every row. Scores, mix, captions, domains and samples come from ${int(run.sampled.rows)} of ${int(run.sampled.of_rows)} rows: `
      + `${int(run.sampled.shards)} of ${int(run.sampled.of_shards)} shards, drawn by chance.`) : [],
    run.warnings.map((w) => el("p", { class: "warning" }, w)));
}

function funnel(run) {
  const link = (step, fate, n) => n && run === RUN && RUN.samples.length
    ? cell(el("button", { onclick: () => show({ stage: fate === "kept" ? "" : step.stage, fate }) }, int(n))) : cell(int(n));
  const bar = (s) => {
    const width = (n) => (100 * n) / Math.max(1, run.funnel.rows);
    const lost = s.dropped + s.missing;
    return svg("svg", { class: "bar", viewBox: "0 0 100 10", preserveAspectRatio: "none", role: "img", "aria-label": `${s.kept} of ${run.funnel.rows} kept` },
      svg("rect", { class: "fill-kept", width: width(s.kept), height: 10 }), svg("rect", { class: "fill-lost", x: width(s.kept), width: width(lost), height: 10 }),
      svg("rect", { class: "fill-warn", x: width(s.kept + lost), width: width(s.failed), height: 10 }));
  };
  const reasons = (s) => Object.entries(s.reasons).filter(([r]) => r !== s.gate).map(([r, n]) => `${r} ×${int(n)}`).join(", ");
  const lines = run.funnel.steps.map((s) => el("tr", {}, cell(el("span", {}, s.stage, el("br"), el("code", { class: "soft" }, s.gate || "")), true),
    cell(int(s.rows)), link(s, "kept", s.kept), link(s, "dropped", s.dropped), link(s, "missing", s.missing), link(s, "failed", s.failed),
    cell(bar(s), true), el("td", { class: "left wide" }, reasons(s))));
  return el("div", { class: "scroll" }, el("table", { class: "funnel" }, heads("step", "rows", "kept", "dropped", "missing", "failed", "of all rows", "reasons"), lines));
}

// ---- scores

function histogram(score, other) {
  const bins = score.kept.length;
  const scale = (s) => Math.max(1, ...s.kept.map((k, i) => k + s.stopped[i]));
  const top = scale(score);
  const at = (v) => (100 * (v - score.low)) / (score.high - score.low);
  const chart = svg("svg", { class: "chart", viewBox: "0 0 100 100", preserveAspectRatio: "none", role: "img", "aria-label": `distribution of ${score.name}` });
  score.kept.forEach((k, i) => {
    const box = { x: (100 * i) / bins, width: 92 / bins };
    chart.append(svg("rect", { class: "fill-kept", ...box, y: 100 - (100 * k) / top, height: (100 * k) / top }),
      svg("rect", { class: "fill-lost", ...box, y: 100 - (100 * (k + score.stopped[i])) / top, height: (100 * score.stopped[i]) / top }));
  });
  if (other) {
    const high = scale(other);
    const points = other.kept.map((k, i) => `${at(other.low + ((i + 0.5) * (other.high - other.low)) / bins)},${100 - (100 * (k + other.stopped[i])) / high}`);
    chart.append(svg("polyline", { points: points.join(" "), fill: "none", class: "cursor-line", "vector-effect": "non-scaling-stroke" }));
  }
  for (const gate of score.gates) chart.append(svg("line", { class: "gate-line", x1: at(gate.threshold), x2: at(gate.threshold), y1: 0, y2: 100, "vector-effect": "non-scaling-stroke" }));
  return { chart, at };
}

function scoreCard(score, other) {
  const { chart, at } = histogram(score, other);
  const gate = score.gates[0];
  const below = score.sign.startsWith("<");
  const test = { ">=": (v, t) => v >= t, ">": (v, t) => v > t, "<": (v, t) => v < t, "<=": (v, t) => v <= t }[score.sign];
  const start = gate ? score.stops.findIndex((s) => s >= gate.threshold) : Math.floor(score.stops.length / 2);
  const cursor = svg("line", { class: "cursor-line", y1: 0, y2: 100, "vector-effect": "non-scaling-stroke" });
  chart.append(cursor);
  const verdict = el("p", { class: "verdict small", "aria-live": "polite" });
  const near = el("div", { class: "near" });
  const slider = el("input", { type: "range", min: 0, max: score.stops.length - 1, value: Math.max(0, start), "aria-label": `threshold of ${score.name}`, oninput: () => move() });
  const mine = RUN.samples.filter((s) => s.scores[score.name] !== undefined);
  function move() {
    const i = Number(slider.value), t = score.stops[i];
    cursor.setAttribute("x1", at(t));
    cursor.setAttribute("x2", at(t));
    const [n, k] = below ? [score.rows - score.reach[i], score.rows_kept - score.reach_kept[i]] : [score.reach[i], score.reach_kept[i]];
    verdict.replaceChildren(el("code", {}, `${score.name} ${score.sign} ${t}`), " holds for ", el("b", { "data-count": n }, int(n)),
      ` of the ${int(score.rows)} rows that have it (${percent(n / score.rows)}); ${int(k)} of the ${int(score.rows_kept)} kept rows stay`);
    const sorted = mine.map((s) => [Math.abs(s.scores[score.name] - t), s]).sort((a, b) => a[0] - b[0]).map((p) => p[1]).filter((s) => s.image);
    const passes = (s) => test(s.scores[score.name], t);
    const thumb = (s) => el("button", { class: passes(s) ? "pass" : "fail", title: `${short(s.scores[score.name])}`, onclick: () => zoom(s) }, el("img", { class: s.blur ? "blurred" : "", src: s.image, alt: "" }));
    near.replaceChildren(...sorted.filter((s) => !passes(s)).slice(0, 4).reverse().map(thumb), ...sorted.filter(passes).slice(0, 4).map(thumb));
  }
  move();
  return el("div", { class: "card", "data-score": score.name }, el("h3", {}, score.name, el("span", { class: "soft small" }, score.stage ? `  ${score.stage}` : "  source")),
    el("p", { class: "soft small" }, score.meaning + (score.unit ? ` (${score.unit})` : "")), chart,
    el("div", { class: "axis" }, el("span", {}, short(score.low)), el("span", {}, `median ${short(score.quantiles[50])}`), el("span", {}, short(score.high))),
    score.gates.map((g) => el("p", { class: "small" }, el("code", {}, g.text), ` at ${g.stage}`)), other ? null : slider, other ? null : verdict, other ? null : near);
}

// ---- mix, captions, downloads

function effectCard(e) {
  const share = (n, k) => (e.totals[k] ? n / e.totals[k] : 0);
  return el("div", { class: "card" }, el("h3", {}, e.group),
    e.changes.map((c) => el("p", { class: "small" }, el("b", { class: c.after < c.before ? "down" : "up" }, `${c.value} `), `${percent(c.before)} → ${percent(c.after)} at ${c.step} (${int(c.rows)} rows came)`)),
    el("div", { class: "scroll" }, el("table", {}, heads("", "came", ...e.steps),
      e.values.map((v) => el("tr", {}, cell(el("bdi", {}, v.value), true), v.rows.map((n, k) => {
        const drift = k ? share(n, k) - share(v.rows[k - 1], k - 1) : 0;
        return el("td", { class: Math.abs(drift) < 0.01 ? "" : drift < 0 ? "down" : "up", title: `${int(n)} rows` }, percent(share(n, k)));
      }))))));
}

const MEASURES = { captions: "captions measured", words_median: "words, median", words_p95: "words, 95th percentile", words_per_alt_word: "words per word of the alt text",
  type_token_ratio: "type–token ratio, windows of 50", distinct_2: "distinct-2", template_rate: "ten commonest openings", duplicate_rate: "exact repeats", repetition_rate: "repeats itself",
  refusal_rate: "refusals", hedges_per_100_words: "hedges per 100 words", leak_rate: "prompt or chat tokens", truncated_rate: "cut off by the length limit", alt_retention: "names and numbers of the alt text kept" };

function captionTable(columns) {
  const show = (name, v) => (v === undefined ? "" : name.endsWith("_rate") || name === "alt_retention" ? percent(v) : short(v));
  return el("div", { class: "scroll" }, el("table", {}, heads("", ...columns.map((c) => c.column)),
    Object.entries(MEASURES).filter(([m]) => columns.some((c) => c[m] !== undefined)).map(([m, title]) => el("tr", {}, cell(title, true), columns.map((c) => cell(show(m, c[m])))))));
}

function timeline(parts) {
  const top = Math.max(...parts.map((p) => p.per_s));
  const chart = svg("svg", { class: "chart", viewBox: `0 0 ${parts.length} 100`, preserveAspectRatio: "none", role: "img", "aria-label": "images per second over time" });
  parts.forEach((p, i) => chart.append(svg("rect", { class: "fill-kept", x: i, width: 0.92, y: 100 - (100 * p.per_s) / top, height: (100 * p.per_s) / top })));
  const last = parts[parts.length - 1].from_s;
  return el("div", {}, el("p", { class: "soft small" }, "images that arrived, per second"), chart,
    el("div", { class: "axis" }, el("span", {}, "0 s"), el("span", {}, `at most ${short(top)} a second`), el("span", {}, `${int(last)} s`)));
}

function downloads(d) {
  const total = d.arrived + Object.values(d.classes).reduce((a, b) => a + b, 0);
  return el("div", { class: "side" }, el("div", { class: "scroll" }, el("table", {}, heads("outcome", "rows", "share"),
    [["arrived", d.arrived], ...Object.entries(d.classes)].map(([name, n]) => el("tr", {}, cell(name, true), cell(int(n)), cell(percent(n / Math.max(1, total)))))),
    d.timeline.length > 1 ? timeline(d.timeline) : null,
    el("p", { class: "soft small" }, Object.entries(d.seconds).map(([q, s]) => `${q}% within ${s.toFixed(2)} s`).join(", "))),
  el("div", { class: "scroll" }, el("table", {}, heads(`domain (${int(d.host_count)} in all)`, "rows", "failed", "median s"),
    d.hosts.map((h) => el("tr", {}, cell(h.domain || "", true), cell(int(h.rows)), cell(int(h.failed)), cell(h.median_s === null ? "" : h.median_s.toFixed(2)))))));
}

// ---- gallery

const filters = { stage: "", fate: "", tag: "", language: "", search: "" };
let limit = 60, shown = [], grid, count;
const languageOf = (s) => Object.entries(s.texts).filter(([n]) => n === "lang" || n.endsWith("_lang")).map(([, v]) => v)[0] || "";

function picture(s, alt) {
  if (!s.image) return el("div", { class: "picture none" }, "no picture");
  const node = el("img", { class: s.blur ? "picture blurred" : "picture", src: s.image, alt, loading: "lazy", decoding: "async" });
  return node;
}

function words(text, base) {
  if (!base || base === text) return [el("span", {}, text)];
  const known = new Set(base.toLowerCase().split(/\s+/));
  return text.split(/(\s+)/).map((w) => (w.trim() && !known.has(w.toLowerCase()) ? el("mark", {}, w) : w));
}

function texts(s, all) {
  const entries = Object.entries(s.texts).filter(([n]) => all || RUN.caption_columns.includes(n));
  const marked = (name) => all && name !== "text" && RUN.caption_columns.includes(name);
  return el("dl", {}, entries.map(([name, text]) => [el("dt", {}, name), el("dd", { dir: "auto" }, marked(name) ? words(text, s.texts.text) : text)]).flat());
}

function card(s) {
  const open = () => zoom(s);
  return el("article", { class: "card sample", tabindex: 0, onclick: open, onkeydown: (e) => { if (e.key === "Enter") { e.preventDefault(); open(); } } }, picture(s, ""),
    el("p", {}, el("span", { class: `fate fate-${s.fate}` }, s.fate), s.stage ? ` at ${s.stage}` : ""), languageOf(s) ? el("span", { class: "soft" }, `  ${languageOf(s)}`) : null, s.reason ? el("p", { class: "small soft" }, el("code", {}, s.reason)) : null, texts(s, false));
}

function zoom(s) {
  const dialog = document.getElementById("zoom");
  const image = picture(s, s.texts.text || "");
  image.addEventListener("click", () => image.classList.remove("blurred"));
  const step = (by) => { const i = shown.indexOf(s) + by; if (i >= 0 && i < shown.length) zoom(shown[i]); };
  const rows = Object.entries(s.scores).map(([n, v]) => el("tr", {}, cell(n, true), cell(short(v))));
  dialog.replaceChildren(el("button", { class: "right link", onclick: () => dialog.close() }, "close"), image, s.blur ? el("p", { class: "soft small" }, "hidden by the report's `blur`; click to see it") : "",
    el("p", {}, el("span", { class: `fate fate-${s.fate}` }, s.fate), s.stage ? ` at ${s.stage} ` : " ", el("code", {}, s.reason)),
    el("p", { class: "soft small" }, `shard ${s.shard}, row ${s.row}, uid ${s.uid}; picked as ${s.tags.join(", ")}`),
    el("div", { class: "side" }, texts(s, true), el("div", { class: "scroll" }, el("table", {}, rows))));
  dialog.onkeydown = (e) => { if (e.key === "ArrowRight") step(1); if (e.key === "ArrowLeft") step(-1); };
  if (!dialog.open) dialog.showModal();
}

function refresh() {
  const search = filters.search.toLowerCase();
  shown = RUN.samples.filter((s) => (!filters.fate || s.fate === filters.fate) && (!filters.stage || s.stage === filters.stage) &&
    (!filters.tag || s.tags.includes(filters.tag)) && (!filters.language || languageOf(s) === filters.language) &&
    (!search || [s.uid, s.reason, ...Object.values(s.texts)].some((t) => t.toLowerCase().includes(search))));
  count.textContent = `${int(shown.length)} of ${int(RUN.samples.length)} samples`;
  grid.replaceChildren(...shown.slice(0, limit).map(card));
  more.hidden = shown.length <= limit;
}

function show(wanted) {
  Object.assign(filters, { stage: "", fate: "", tag: "", language: "", search: "" }, wanted);
  for (const node of document.querySelectorAll("[data-filter]")) node.value = filters[node.dataset.filter];
  limit = 60;
  refresh();
  document.getElementById("samples").scrollIntoView();
}

const more = el("button", { class: "more", onclick: () => { limit += 120; refresh(); } }, "show more");

function gallery() {
  const choice = (name, title, values) => el("select", { "data-filter": name, "aria-label": title, onchange: (e) => { filters[name] = e.target.value; limit = 60; refresh(); } },
    el("option", { value: "" }, title), [...new Set(values)].filter(Boolean).sort().map((v) => el("option", { value: v }, v)));
  grid = el("div", { class: "gallery" });
  count = el("span", { class: "soft", id: "count" });
  const bar = el("div", { class: "filters" }, choice("fate", "every fate", RUN.samples.map((s) => s.fate)), choice("stage", "every step", RUN.samples.map((s) => s.stage)),
    choice("tag", "however picked", RUN.samples.flatMap((s) => s.tags)), choice("language", "every language", RUN.samples.map(languageOf)),
    el("input", { type: "search", "data-filter": "search", placeholder: "search in texts", "aria-label": "search in texts", oninput: (e) => { filters.search = e.target.value; limit = 60; refresh(); } }), count);
  section("samples", "Samples", "Half by chance, an equal share of every fate and step; half on purpose: tails, thresholds, duplicates, failures. Arrow keys turn the pages of an opened one.", bar, grid, more);
  refresh();
}

// ---- the page

function runTable(run) {
  const stages = Object.entries(run.stages);
  const onGpu = stages.some(([, s]) => s.gpus > 0);
  const inside = (s) => (s.held_s ? percent(Math.min(1, s.busy_s / s.held_s), 0) : "");
  const pace = (x) => (x < 100 ? x.toFixed(1) : int(Math.round(x)));
  const columns = ["stage", "rows", "computed", "from store", "workers", "seconds", "rows/s", "in stage", ...(onGpu ? ["GPU share"] : []), "identity"];
  return el("div", { class: "scroll" }, el("table", { class: "run" }, heads(...columns),
    stages.map(([n, s]) => el("tr", {}, cell(n, true), cell(int(s.rows)), cell(int(s.computed)), cell(int(s.cached)), cell(s.workers ? int(s.workers) : ""), cell(s.seconds.toFixed(1)),
      cell(pace(s.computed / Math.max(s.seconds, 0.001))), cell(inside(s)), onGpu ? cell(s.gpus > 0 ? inside(s) : "") : null, cell(el("code", {}, run.identities[n] || ""))))),
  el("p", { class: "soft small" }, "In stage: time inside the stage's own code, of the time from each worker's first shard to its last, loading and waiting too.",
    onGpu ? " For workers that hold a GPU this stands as the GPU share; the GPU itself may have been less busy." : ""),
  el("p", { class: "soft small" }, Object.entries(run.seconds).map(([n, s]) => `${n} ${s.toFixed(1)} s`).join(", ")),
  el("p", { class: "soft small" }, Object.entries({ pairmill: run.pairmill, ...run.versions }).map(([n, v]) => `${n} ${v}`).join(", ")));
}

PAGE.append(el("header", {}, el("h1", {}, RUNS.map((r) => r.name).join(" against "))));
const nav = el("nav");
PAGE.append(nav);
if (RUNS.length === 1) {
  PAGE.querySelector("header").append(summary(RUN));
  section("funnel", "Where the rows went", "Click a number to see its rows. Green: kept; grey: dropped or without a value; orange: failed.", funnel(RUN));
  if (RUN.scores.length) section("scores", "Scores", `Counted over all ${RUN.sampled ? "drawn " : ""}rows that have the score, kept ones in green. Move a slider to see what another threshold would let through, with samples just below and above it; rows that an earlier step stopped have no score.`, el("div", { class: "grid" }, RUN.scores.map((s) => scoreCard(s))));
  if (RUN.effects.length) section("mix", "What the steps did to the mix", "Shares of the rows left after each step. Quality filters quietly remove languages, sources and sizes; the largest changes are named first.", el("div", { class: "grid wide-cards" }, RUN.effects.map(effectCard)));
  if (RUN.captions.length) section("captions", "Captions", "Kept rows; shares are of captions. The first column is the alt text.", captionTable(RUN.captions));
  if (RUN.downloads) section("downloads", "Downloads", null, downloads(RUN.downloads));
  if (RUN.samples.length) gallery();
  section("run", "Run", null, runTable(RUN), el("details", {}, el("summary", {}, "Pipeline as run"), el("pre", {}, RUN.pipeline)));
} else {
  const both = (make) => el("div", { class: "side" }, RUNS.map((r) => el("div", {}, el("h3", {}, r.run), make(r))));
  section("summary", "Summary", null, both(summary));
  section("funnel", "Where the rows went", null, ...RUNS.flatMap((r) => [el("h3", {}, r.run), funnel(r)]));
  const shared = RUN.scores.map((s) => [s, RUNS[1].scores.find((o) => o.name === s.name)]).filter((p) => p[1]);
  section("scores", "Scores", "Bars: the first run; line: the second, each to its own height.", el("div", { class: "grid" }, shared.map(([a, b]) => scoreCard(a, b))));
  section("captions", "Captions", null, captionTable(RUNS.flatMap((r, i) => r.captions.map((c) => ({ ...c, column: `${c.column} (${i + 1})` })))));
  section("run", "Runs", null, ...RUNS.flatMap((r) => [el("h3", {}, r.run), runTable(r), el("details", {}, el("summary", {}, "Pipeline as run"), el("pre", {}, r.pipeline))]));
}
for (const s of PAGE.querySelectorAll("section")) nav.append(el("a", { href: `#${s.id}` }, s.querySelector("h2").textContent));
