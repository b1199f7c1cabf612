// ---- scores

const pairs = (score) => score.kept.map((k, i) => [k, score.stopped[i]]);

function histogram(score, other) {
  const bins = score.kept.length;
  const width = (s) => (s.high - s.low) / bins;
  const top = (s) => Math.max(1, ...pairs(s).map(([k, d]) => k + d));
  const at = (v) => (100 * (v - score.low)) / (score.high - score.low);
  const chart = svg("svg", { class: "chart", viewBox: "0 0 100 100", preserveAspectRatio: "none", role: "img", "aria-label": `distribution of ${score.name}` });
  const highest = top(score);
  pairs(score).forEach(([k, d], i) => {
    const box = { x: (100 * i) / bins, width: 92 / bins };
    const from = score.low + i * width(score);
    chart.append(svg("g", {}, svg("title", {}, `${short(from)} to ${short(from + width(score))}: ${int(k)} kept, ${int(d)} stopped`),
      svg("rect", { class: "fill-kept", ...box, y: 100 - (100 * k) / highest, height: (100 * k) / highest }),
      svg("rect", { class: "fill-lost", ...box, y: 100 - (100 * (k + d)) / highest, height: (100 * d) / highest }),
      svg("rect", { class: "hover", ...box, y: 0, height: 100 })));
  });
  if (other) {
    const high = top(other);
    const points = pairs(other).map(([k, d], i) => `${at(other.low + (i + 0.5) * width(other))},${100 - (100 * (k + d)) / high}`);
    chart.append(svg("polyline", { points: points.join(" "), fill: "none", class: "cursor-line", "vector-effect": "non-scaling-stroke" }));
  }
  for (const gate of score.gates) chart.append(svg("line", { class: "gate-line", x1: at(gate.threshold), x2: at(gate.threshold), y1: 0, y2: 100, "vector-effect": "non-scaling-stroke" }));
  return { chart, at };
}

// Lowest and highest value at the ends, the median where it is.
function axis(score, at) {
  const middle = el("span", { class: "median" }, `median ${short(score.quantiles[50])}`);
  const place = Math.min(80, Math.max(20, at(score.quantiles[50])));
  middle.style.left = `${place}%`;
  return el("div", { class: "axis with-median" }, el("span", {}, short(score.low)), middle, el("span", {}, short(score.high)));
}

// The gate with another number in it, as the command line takes it.
function asSet(score, threshold) {
  const gate = score.gates[0];
  const found = new RegExp(`(${score.name}\\s*[<>]=?\\s*)[-+.\\deE]+`).exec(gate.text);
  const text = found ? gate.text.replace(found[0], `${found[1]}${threshold}`) : `${score.name} ${score.sign} ${threshold}`;
  return `--set ${shelled(`${gate.at || `stages.${gate.stage}`}.keep=${text}`)}`;
}

// What would be kept in the end with a threshold at stop i: [least, most].
function inTheEnd(score, i, below) {
  const kept = below ? score.rows_kept - score.reach_kept[i] : score.reach_kept[i];
  const dropped = score.dropped_reach || [];
  if (!dropped.length) return [kept, kept];
  const every = dropped.length ? Math.max(...dropped) : 0;
  const regained = below ? every - dropped[i] : dropped[i];
  return [score.exact ? kept + regained : kept, kept + regained];
}

function trial(score, at, chart) {
  const gate = score.gates[0];
  const below = score.sign.startsWith("<");
  const test = { ">=": (v, t) => v >= t, ">": (v, t) => v > t, "<": (v, t) => v < t, "<=": (v, t) => v <= t }[score.sign];
  const start = gate ? score.stops.findIndex((s) => s >= gate.threshold) : Math.floor(score.stops.length / 2);
  const cursor = svg("line", { class: "cursor-line", y1: 0, y2: 100, "vector-effect": "non-scaling-stroke" });
  const verdict = el("p", { class: "verdict small", "aria-live": "polite" });
  const near = el("div", { class: "near" });
  const line = el("p", {});
  const slider = el("input", { type: "range", min: 0, max: score.stops.length - 1, value: Math.max(0, start), "aria-label": `threshold of ${score.name}`, oninput: () => move() });
  const mine = RUN.samples.filter((s) => s.scores[score.name] !== undefined);
  function move() {
    const i = Number(slider.value), t = score.stops[i];
    cursor.setAttribute("x1", at(t));
    cursor.setAttribute("x2", at(t));
    const n = below ? score.rows - score.reach[i] : score.reach[i];
    const [least, most] = inTheEnd(score, i, below);
    const end = least === most ? int(least) : `${int(least)} to ${int(most)}`;
    verdict.replaceChildren(el("code", {}, `${score.name} ${score.sign} ${t}`), " holds for ", el("b", { "data-count": n }, int(n)),
      ` of the ${int(score.rows)} rows that have it (${percent(n / score.rows)}). Kept in the end: `, el("b", { "data-least": least, "data-most": most }, end), `; now ${int(score.rows_kept)}.`);
    line.replaceChildren(gate && t !== gate.threshold ? copied(asSet(score, t)) : "");
    const sorted = mine.map((s) => [Math.abs(s.scores[score.name] - t), s]).sort((a, b) => a[0] - b[0]).map((p) => p[1]).filter((s) => s.image);
    const passes = (s) => test(s.scores[score.name], t);
    const thumb = (s) => el("button", { class: passes(s) ? "pass" : "fail", title: `${short(s.scores[score.name])}`, "aria-label": `${passes(s) ? "passes" : "fails"} with ${short(s.scores[score.name])}`, onclick: () => zoom(s) }, el("img", { class: s.blur ? "blurred" : "", src: s.image, alt: "" }));
    near.replaceChildren(...sorted.filter((s) => !passes(s)).slice(0, 4).reverse().map(thumb), ...sorted.filter(passes).slice(0, 4).map(thumb));
  }
  chart.append(cursor);
  move();
  return el("div", {}, slider, verdict, line, near);
}

function scoreCard(score, other) {
  const { chart, at } = histogram(score, other);
  const gated = score.gates.length > 0;
  const trying = el("details", { class: "trying" }, el("summary", { class: "small" }, "try a threshold"));
  if (!gated) trying.addEventListener("toggle", () => { if (trying.open && trying.children.length === 1) trying.append(trial(score, at, chart)); });
  return el("div", { class: "card", "data-score": score.name }, el("h3", {}, score.name, el("span", { class: "soft small" }, score.stage ? `  ${score.stage}` : "  source")),
    el("p", { class: "soft small" }, score.meaning + (score.unit ? ` (${score.unit})` : "")), chart, axis(score, at),
    score.gates.map((g) => el("p", { class: "small" }, el("code", {}, g.text), ` at ${g.stage}`)),
    other ? moved(score, other) : gated ? trial(score, at, chart) : trying);
}

// How far the median went, and the share that was kept.
function moved(a, b) {
  const share = (s) => percent(s.rows ? s.rows_kept / s.rows : 0);
  return el("p", { class: "small soft" }, `median ${short(a.quantiles[50])} → ${short(b.quantiles[50])}; kept ${share(a)} → ${share(b)} of the rows that have it`);
}

function scoreGrid(scores) {
  const facts = scores.filter((s) => s.fact && !s.gates.length);
  const judged = scores.filter((s) => !facts.includes(s));
  return el("div", {}, el("div", { class: "grid" }, judged.map((s) => scoreCard(s))),
    facts.length ? el("details", { class: "facts" }, el("summary", {}, `${facts.length} facts: ${facts.map((s) => s.name).join(", ")}`), el("div", { class: "grid" }, facts.map((s) => scoreCard(s)))) : null);
}

