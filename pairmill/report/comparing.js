// ---- two runs: what differs, and what became of the rows

function funnels() {
  const [a, b] = RUNS.map((r) => new Map(flat(r.funnel, 0).map(([s]) => [s.stage, s])));
  const delta = (n) => (n ? el("span", { class: n < 0 ? "down" : "up" }, ` (${n > 0 ? "+" : "−"}${int(Math.abs(n))})`) : "");
  const depths = new Map(RUNS.flatMap((r) => flat(r.funnel, 0).map(([s, depth]) => [s.stage, depth])));
  const names = [...depths.keys()];
  const both = (s, t, key) => cell(s && t && s[key] === t[key] ? el("span", { class: "soft" }, int(s[key])) : el("span", {}, s ? int(s[key]) : "–", " → ", t ? int(t[key]) : "–", s && t ? delta(t[key] - s[key]) : ""));
  return scroller(el("table", { class: "funnel" }, heads("step", "rows", "kept", "dropped", "missing", "failed", "gates"), names.map((name) => {
    const [s, t] = [a.get(name), b.get(name)];
    const gates = [s, t].map((step) => (step && step.gate) || "");
    const shown = gates[0] === gates[1] ? [el("code", { class: "soft" }, gates[0])] : [el("code", { class: "down" }, gates[0] || "none"), " → ", el("code", { class: "up" }, gates[1] || "none")];
    return el("tr", {}, cell(el("span", { class: `depth-${Math.min(depths.get(name), 3)}` }, name), true), ...["rows", "kept", "dropped", "missing", "failed"].map((key) => both(s, t, key)), el("td", { class: "left wide" }, shown));
  })));
}

function differences() {
  const settings = (DATA.compared && DATA.compared.settings) || [];
  const table = settings.length ? scroller(el("table", { class: "settings" }, el("tr", {}, ["as it was run", "first run", "second run"].map((t) => el("th", { class: "left" }, t))), settings.map(([name, a, b]) => el("tr", {}, cell(name, true), el("td", { class: "left" }, el("code", { class: "down" }, a)), el("td", { class: "left" }, el("code", { class: "up" }, b)))))) : null;
  return el("div", {}, lineDifferences(), table);
}

function lineDifferences() {
  const lines = DATA.compared ? DATA.compared.pipeline : [];
  if (!lines.length) return el("p", { class: "soft" }, "The pipeline files are equal.");
  const classes = { "+": "added", "-": "removed", "@": "soft" };
  return el("pre", { class: "diff", tabindex: 0 }, lines.map(([sign, text]) => el("span", { class: classes[sign] || "" }, `${sign === "@" ? "…" : sign} ${sign === "@" ? "" : text}\n`)));
}

function movedRows() {
  const { rows, moves } = DATA.compared;
  if (!rows) return el("p", { class: "soft" }, "The rows of these runs are too many to be compared one by one, or a ledger is gone.");
  const facts = [["kept by both", rows.kept_both], ["kept by the second alone", rows.gained], ["kept by the first alone", rows.lost], ["only in the first run's input", rows.only_first], ["only in the second run's input", rows.only_second]];
  return el("div", { class: "side" }, scroller(el("table", {}, heads("rows", ""), facts.map(([name, n]) => el("tr", {}, cell(name, true), cell(int(n)))))),
    moves.length ? scroller(el("table", {}, el("tr", {}, el("th", { class: "left" }, "first run"), el("th", { class: "left" }, "second run"), el("th", {}, "rows")),
      moves.map(([a, b, n]) => el("tr", {}, cell(a || "not there", true), cell(b || "not there", true), cell(int(n)))))) : null);
}

// Rows that one run kept and the other did not, with the captions of both.
function movedSamples() {
  const kinds = { gained: "Kept by the second run alone", lost: "Kept by the first run alone" };
  const of = (run, uid) => run.samples.find((s) => s.uid === uid);
  return Object.entries(kinds).map(([kind, title]) => {
    const uids = Object.entries(DATA.compared.samples).filter(([, s]) => s.kind === kind).map(([uid]) => uid);
    if (!uids.length) return null;
    return el("div", {}, el("h3", {}, title), el("div", { class: "gallery", "data-moved": kind }, uids.map((uid) => {
      const [a, b] = RUNS.map((r) => of(r, uid));
      const s = a || b;
      return el("article", { class: "card sample" }, picture(s, ""), el("p", { class: "small" }, DATA.compared.samples[uid].became.map((one, i) => [`${i ? "second" : "first"}: `, one ? [el("span", { class: `fate fate-${one.split(" ")[0]}` }, one.split(" ")[0]), one.slice(one.split(" ")[0].length)] : "not there", el("br")])), captionsOf(a, b));
    })));
  });
}

function captionsOf(a, b) {
  const names = [...new Set(RUNS.flatMap((r) => r.caption_columns))];
  return el("dl", {}, names.flatMap((n) => {
    const [first, second] = [a, b].map((s) => s && s.texts[n]);
    if (!first && !second) return [];
    if (first === second || !first || !second) return [el("dt", {}, n), el("dd", { dir: "auto" }, first || second)];
    return [el("dt", {}, `${n}, first run`), el("dd", { dir: "auto" }, first), el("dt", {}, `${n}, second run`), el("dd", { dir: "auto" }, words(second, first))];
  }));
}

