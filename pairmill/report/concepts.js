// ---- concepts: the long tail before and after

// The curve, of rows that came (dashed) and rows after it; `after`: in words, what these are.
function longTail(c, after) {
  const top = Math.log10(Math.max(...c.curve.flatMap((p) => [p.came, p.kept])) + 1), end = Math.log10(c.curve[c.curve.length - 1].rank) || 1;
  const place = (p, k) => `${(100 * Math.log10(p.rank)) / end},${100 - (100 * Math.log10(p[k] + 1)) / top}`;
  const chart = svg("svg", { class: "chart", viewBox: "0 0 100 100", preserveAspectRatio: "none", role: "img", "aria-label": "rows of each concept by rank, before and after" });
  for (const [k, dash] of [["came", "3 3"], ["kept", ""]])
    chart.append(svg("polyline", { points: c.curve.map((p) => place(p, k)).join(" "), fill: "none", stroke: "currentColor", "stroke-dasharray": dash, "vector-effect": "non-scaling-stroke" }));
  return [el("p", { class: "small" }, `${int(c.concepts)} concepts came, ${int(c.concepts_kept)} are in what is ${after}. The tail (behind the ${int(c.head)} commonest) has ${percent(c.tail_came)} of the mentions before and ${percent(c.tail_kept)} after.`),
    chart, el("div", { class: "axis" }, el("span", {}, "rank 1"), el("span", {}, "rows, logarithmic; dashed: all that came"), el("span", {}, `rank ${int(c.concepts)}`))];
}

function concepts(c) {
  return el("div", { class: "card" }, el("h3", {}, c.column), longTail(c, "kept"),
    scroller(el("table", {}, heads("concept", "came", "kept", "of it"),
      c.values.map((v) => el("tr", {}, cell(el("bdi", {}, v.concept), true), cell(int(v.came)), cell(int(v.kept)), cell(percent(v.kept / v.came)))))));
}
