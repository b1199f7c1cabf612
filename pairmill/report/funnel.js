// ---- summary and funnel

function summary(run) {
  const share = run.funnel.rows ? run.funnel.kept / run.funnel.rows : 0;
  return el("div", {}, el("p", { class: "big" }, el("b", {}, int(run.funnel.kept)), ` of ${int(run.funnel.rows)} rows kept (${percent(share)})`),
    el("p", { class: "soft small" }, `run ${run.run}, pairmill ${run.pairmill}`),
    run.packages.map((p) => el("p", { class: "soft small" }, `${p.format}: ${int(p.samples)} samples in ${int(p.shards)} ${p.shards === 1 ? "shard" : "shards"}, ${[p.path, ...(p.chosen || [])].join("; ")}`)),
    run.sampled ? el("p", { class: "small" }, `The funnel and the outcomes of downloads count every row. Scores, mix, choices, captions, domains and samples come from ${int(run.sampled.rows)} of ${int(run.sampled.of_rows)} rows: `
      + `${int(run.sampled.shards)} of ${int(run.sampled.of_shards)} shards, drawn by chance.`) : [],
    run.warnings.map((w) => el("p", { class: "warning" }, w)));
}

// steps with their depth: those of a block's elements stand below it, and their bars are shares of the elements
function flat(part, depth) {
  return part.steps.flatMap((s) => [[s, depth, part.rows], ...(s.elements ? flat(s.elements, depth + 1) : [])]);
}

function funnel(run) {
  const linked = RUNS.length === 1 && RUN.samples.length;
  const link = (step, fate, n, depth) => n && linked && depth === 0
    ? cell(el("button", { onclick: () => show(fate === "kept" ? { passed: step.stage, of: n } : { stage: step.stage, fate, of: n }) }, int(n))) : cell(int(n));
  const bar = (s, whole) => {
    const width = (n) => (100 * n) / Math.max(1, whole);
    const lost = s.dropped + s.missing;
    return svg("svg", { class: "bar", viewBox: "0 0 100 10", preserveAspectRatio: "none", role: "img", "aria-label": `${s.kept} of ${whole} kept` },
      svg("rect", { class: "fill-kept", width: width(s.kept), height: 10 }), svg("rect", { class: "fill-lost", x: width(s.kept), width: width(lost), height: 10 }),
      svg("rect", { class: "fill-warn", x: width(s.kept + lost), width: width(s.failed), height: 10 }));
  };
  const reasons = (s) => Object.entries(s.reasons).filter(([r]) => r !== s.gate).sort((a, b) => b[1] - a[1]).map(([r, n]) => `${r} ×${int(n)}`).join(", ");
  const lines = flat(run.funnel, 0).map(([s, depth, whole]) => el("tr", {}, cell(el("span", { class: `depth-${Math.min(depth, 3)}` }, s.stage, el("br"), el("code", { class: "soft" }, s.gate || "")), true),
    cell(int(s.rows)), link(s, "kept", s.kept, depth), link(s, "dropped", s.dropped, depth), link(s, "missing", s.missing, depth), link(s, "failed", s.failed, depth),
    cell(bar(s, whole), true), el("td", { class: "left wide" }, reasons(s))));
  return scroller(el("table", { class: "funnel" }, heads("step", "rows", "kept", "dropped", "missing", "failed", "of all rows", "reasons"), lines));
}

