// ---- choices among all rows: why, beside chance, requested and achieved, languages and concepts

const COUNTED = { came: "came", chosen: "chosen", control: "by chance" };

// Shares before and after, of languages, groups or concepts; green and orange where they moved.
function shareTable(title, values, totals, others) {
  const columns = Object.keys(COUNTED).filter((k) => totals[k] !== undefined);
  const share = (v, k) => (totals[k] ? v[k] / totals[k] : 0);
  const drift = (v, k) => (k === "came" ? 0 : share(v, k) - share(v, "came"));
  return el("div", {}, scroller(el("table", {}, heads(title, ...columns.map((k) => COUNTED[k])),
    values.map((v) => el("tr", {}, cell(el("bdi", {}, v.value || "(none)"), true), columns.map((k) => el("td", { class: Math.abs(drift(v, k)) < 0.01 ? "" : drift(v, k) < 0 ? "down" : "up", title: `${int(v[k])} rows` }, percent(share(v, k)))))))),
  others ? el("p", { class: "soft small" }, `and ${int(others)} others`) : null);
}

function outcomeTable(c) {
  const open = (o) => () => show({ tag: o.tag, of: o.rows, where: o.where });
  return scroller(el("table", {}, heads("why", "rows", "chosen"), c.outcomes.map((o) => el("tr", {}, cell(el("bdi", {}, o.name), true),
    cell(o.tag && o.rows && RUN.samples.length ? el("button", { onclick: open(o) }, int(o.rows)) : int(o.rows)), cell(int(o.chosen))))));
}

function requestedTable(r, repeated) {
  const away = (g) => (Math.abs(g.achieved - g.requested) < 0.01 ? "" : g.achieved < g.requested ? "down" : "up");
  return el("div", {}, scroller(el("table", {}, heads(r.per, "came", r.equal ? "equal shares" : "requested", "achieved", "kept", "rows", ...(repeated ? ["written"] : [])),
    r.groups.map((g) => el("tr", {}, cell(el("bdi", {}, g.group || "(none)"), true), cell(percent(g.came)), cell(percent(g.requested)), el("td", { class: away(g) }, percent(g.achieved)), cell(percent(g.kept)), cell(int(g.rows)), repeated ? cell(int(g.written)) : null)))),
  el("p", { class: "soft small" }, r.cost ? `Shares are counted in ${r.cost}.` : "", r.others ? ` And ${int(r.others)} other groups.` : ""));
}

function medianTable(c) {
  const columns = Object.keys(COUNTED).filter((k) => k !== "control" || c.control !== null);
  const shown = (v) => (v === null || v === undefined ? "" : short(v));
  return scroller(el("table", {}, heads("median of", ...columns.map((k) => COUNTED[k])), c.scores.map((s) => el("tr", {}, cell(s.name, true), columns.map((k) => cell(shown(s[k])))))));
}

function choiceCard(c) {
  const mentions = (k) => ({ came: k.came, chosen: k.kept, ...(k.control === undefined ? {} : { control: k.control }) });
  return el("div", { class: "card", "data-choice": c.column }, el("h3", {}, `${c.column} at ${c.stage}`),
    el("p", { class: "small" }, `${int(c.chosen)} of ${int(c.rows)} rows chosen (${percent(c.chosen / c.rows)})`, c.written === null ? "" : `, written ${int(c.written)} times in all`, c.meaning ? el("span", { class: "soft" }, `: ${c.meaning}`) : ""),
    outcomeTable(c), c.requested ? requestedTable(c.requested, c.written !== null) : null, c.scores.length ? medianTable(c) : null,
    c.shares.map((s) => shareTable(s.group, s.values, s.totals, s.others)),
    c.concepts.map((k) => el("div", {}, el("p", { class: "soft small" }, k.column), longTail(k, "chosen"), shareTable("concept", k.values.map((v) => ({ value: v.concept, ...mentions(v) })), mentions(k.totals), k.concepts - k.values.length))));
}
