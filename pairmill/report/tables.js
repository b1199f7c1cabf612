// ---- mix, captions, downloads

function effectCard(e) {
  const share = (n, k) => (e.totals[k] ? n / e.totals[k] : 0);
  return el("div", { class: "card" }, el("h3", {}, e.group),
    e.changes.map((c) => el("p", { class: "small" }, el("b", { class: c.after < c.before ? "down" : "up" }, `${c.value} `), `${percent(c.before)} → ${percent(c.after)} at ${c.step} (${int(c.rows)} rows came)`)),
    scroller(el("table", {}, heads("", "came", ...e.steps),
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
  return scroller(el("table", {}, heads("", ...columns.map((c) => c.column)),
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

// Failures of a class among the samples, where there are any.
function failedLink(name, n) {
  const tag = `failed: ${name}`;
  return RUN.samples.some((s) => s.tags.includes(tag)) ? el("button", { onclick: () => show({ tag, of: n }) }, int(n)) : int(n);
}

function downloads(d) {
  const total = d.arrived + Object.values(d.classes).reduce((a, b) => a + b, 0);
  return el("div", { class: "side" }, scroller(el("table", {}, heads("outcome", "rows", "share"),
    [["arrived", d.arrived], ...Object.entries(d.classes)].map(([name, n]) => el("tr", {}, cell(name, true), cell(failedLink(name, n)), cell(percent(n / Math.max(1, total)))))),
    d.timeline.length > 1 ? timeline(d.timeline) : null,
    el("p", { class: "soft small" }, Object.entries(d.seconds).map(([q, s]) => `${q}% within ${s.toFixed(2)} s`).join(", "))),
  scroller(el("table", {}, heads(`domain (${int(d.host_count)} in all)`, "rows", "failed", "median s"),
    d.hosts.map((h) => el("tr", {}, cell(h.domain || "", true), cell(int(h.rows)), cell(int(h.failed)), cell(h.median_s === null ? "" : h.median_s.toFixed(2)))))));
}

function runTable(run) {
  const stages = Object.entries(run.stages);
  const onGpu = stages.some(([, s]) => s.gpus > 0);
  const inside = (s) => (s.held_s ? percent(Math.min(1, s.busy_s / s.held_s), 0) : "");
  const pace = (x) => (x < 100 ? x.toFixed(1) : int(Math.round(x)));
  const columns = ["stage", "rows", "computed", "from store", "workers", "seconds", "rows/s", "in stage", ...(onGpu ? ["GPU share"] : []), "identity"];
  return scroller(el("table", { class: "run" }, heads(...columns),
    stages.map(([n, s]) => el("tr", {}, cell(n, true), cell(int(s.rows)), cell(int(s.computed)), cell(int(s.cached)), cell(s.workers ? int(s.workers) : ""), cell(s.seconds.toFixed(1)),
      cell(pace(s.computed / Math.max(s.seconds, 0.001))), cell(inside(s)), onGpu ? cell(s.gpus > 0 ? inside(s) : "") : null, cell(el("code", {}, run.identities[n] || ""))))),
  el("p", { class: "soft small" }, "In stage: time inside the stage's own code, of the time from each worker's first shard to its last, loading and waiting too.",
    onGpu ? " For workers that hold a GPU this stands as the GPU share; the GPU itself may have been less busy." : ""),
  el("p", { class: "soft small" }, Object.entries(run.seconds).map(([n, s]) => `${n} ${s.toFixed(1)} s`).join(", ")),
  el("p", { class: "soft small" }, Object.entries({ pairmill: run.pairmill, ...run.versions }).map(([n, v]) => `${n} ${v}`).join(", ")));
}

