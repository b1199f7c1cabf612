// ---- gallery

const NONE = { stage: "", fate: "", tag: "", language: "", search: "", passed: "", of: "", sort: "", score: "", least: "", most: "", where: "" };
const filters = { ...NONE };
let limit = 60, shown = [], grid, count;
const STEPS = RUN.funnel.steps.map((s) => s.stage);
const languageOf = (s) => Object.entries(s.texts).filter(([n]) => n === "lang" || n.endsWith("_lang")).map(([, v]) => v)[0] || "";

function picture(s, alt) {
  if (!s.image) return el("div", { class: "picture none" }, "no picture");
  const node = el("img", { class: s.blur ? "picture blurred" : "picture", src: s.image, alt });
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

const SIGNS = { ">=": (a, b) => a >= b, ">": (a, b) => a > b, "<=": (a, b) => a <= b, "<": (a, b) => a < b };

// The score that the reader asked about, else those whose thresholds stopped the row, else that of
// the last gate which it came to.
function scoreOf(s) {
  const gates = RUN.scores.flatMap((c) => (s.scores[c.name] === undefined ? [] : c.gates.map((gate) => ({ ...gate, name: c.name }))));
  const asked = filters.sort ? filters.sort.slice(1) : filters.score;
  const stopped = gates.filter((g) => g.stage === s.stage && !SIGNS[g.sign](s.scores[g.name], g.threshold));
  const last = gates.sort((a, b) => STEPS.indexOf(b.stage) - STEPS.indexOf(a.stage)).slice(0, 1);
  const names = s.scores[asked] !== undefined ? [asked] : [...new Set((s.stage ? stopped : last).map((g) => g.name))];
  return names.length ? el("p", { class: "small" }, names.flatMap((name) => [`${name} `, el("b", {}, short(s.scores[name])), " "])) : null;
}

// Two captioners or more, beside one another, with what differs from the first marked.
function sideBySide(s) {
  const captions = RUN.caption_columns.filter((n) => n !== "text" && s.texts[n]);
  if (captions.length < 2) return null;
  return el("div", { class: "side captions" }, captions.map((n, i) => el("div", {}, el("p", { class: "soft small" }, n), el("p", { dir: "auto" }, i ? words(s.texts[n], s.texts[captions[0]]) : s.texts[n]))));
}

function card(s) {
  const open = () => zoom(s);
  return el("article", { class: "card sample", tabindex: 0, onclick: open, onkeydown: (e) => { if (e.key === "Enter") { e.preventDefault(); open(); } } }, picture(s, ""),
    el("p", {}, el("span", { class: `fate fate-${s.fate}` }, s.fate), s.stage ? ` at ${s.stage}` : ""), languageOf(s) ? el("span", { class: "soft" }, `  ${languageOf(s)}`) : null, scoreOf(s), s.reason ? el("p", { class: "small soft" }, el("code", {}, s.reason)) : null, texts(s, false));
}

// An address of the web: it opens in a new tab, tells nothing of this page, and is no script.
function link(url) {
  return /^https?:\/\//i.test(url) ? el("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, url) : url;
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
    sideBySide(s) || "", s.texts.url ? el("p", { class: "small" }, link(s.texts.url)) : "",
    el("div", { class: "side" }, texts(s, true), scroller(el("table", {}, rows))));
  dialog.onkeydown = (e) => { if (e.key === "ArrowRight") step(1); if (e.key === "ArrowLeft") step(-1); };
  if (!dialog.open) dialog.showModal();
}

function refresh() {
  const search = filters.search.toLowerCase();
  const passed = STEPS.indexOf(filters.passed);
  const [least, most] = [filters.least, filters.most].map((v) => (v === "" ? null : Number(v)));
  const within = (v) => v !== undefined && (least === null || v >= least) && (most === null || v <= most);
  shown = RUN.samples.filter((s) => (!filters.passed || s.fate === "kept" || STEPS.indexOf(s.stage) > passed) && (!filters.score || within(s.scores[filters.score])) && (!filters.fate || s.fate === filters.fate) && (!filters.stage || s.stage === filters.stage) &&
    (!filters.tag || s.tags.includes(filters.tag)) && (!filters.language || languageOf(s) === filters.language) &&
    (!search || [s.uid, s.reason, ...Object.values(s.texts)].some((t) => t.toLowerCase().includes(search))));
  if (filters.sort) {
    const [name, sign] = [filters.sort.slice(1), filters.sort[0] === "-" ? -1 : 1];
    shown = shown.filter((s) => s.scores[name] !== undefined).sort((a, b) => sign * (a.scores[name] - b.scores[name]));
  }
  count.replaceChildren(`${int(shown.length)} of ${int(RUN.samples.length)} samples`, filters.of ? `, of ${int(filters.of)} such rows` : "", filters.passed ? `, past ${filters.passed}` : "");
  all.replaceChildren(...(filters.of && (!filters.tag || filters.where) ? ["All of them: ", copied(command())] : []));
  grid.replaceChildren(...shown.slice(0, limit).map(card));
  more.hidden = shown.length <= limit;
}

// The command that gives every row of the number that was clicked.
function command() {
  if (filters.stage === STEPS[0] && filters.fate === "failed") return `pairmill inspect WORKSPACE/runs/${RUN.run} --fate unreadable --to rows.csv`;
  const steps = RUN.funnel.steps.slice(STEPS.indexOf(filters.passed) + 1).map((s) => `'${s.stage}'`);
  const past = steps.length ? `fate = 'kept' OR stage IN (${steps.join(", ")})` : "fate = 'kept'";
  const where = filters.where ? `--where ${shelled(filters.where)}` : filters.passed ? `--where ${shelled(past)}` : `--fate ${filters.fate} --where ${shelled(`stage = '${filters.stage}'`)}`;
  return `pairmill inspect WORKSPACE/runs/${RUN.run} ${where} --to rows.csv --columns text`;
}

function show(wanted) {
  Object.assign(filters, NONE, wanted);
  for (const node of document.querySelectorAll("[data-filter]")) {
    const value = filters[node.dataset.filter];
    // a row that could not be read is no sample, so that no choice may be of its step and fate
    if (node.options && ![...node.options].some((o) => o.value === value)) node.append(el("option", { value }, value));
    node.value = value;
  }
  limit = 60;
  refresh();
  document.getElementById("samples").scrollIntoView();
}

const all = el("p", { class: "soft small" });
const more = el("button", { class: "more", onclick: () => { limit += 120; refresh(); } }, "show more");

function gallery() {
  const choice = (name, title, values) => el("select", { "data-filter": name, "aria-label": title, onchange: (e) => { filters[name] = e.target.value; filters.where = ""; limit = 60; refresh(); } },
    el("option", { value: "" }, title), [...new Set(values)].filter(Boolean).sort().map((v) => el("option", { value: v }, v)));
  const names = [...new Set(RUN.samples.flatMap((s) => Object.keys(s.scores)))].sort();
  const sorts = el("select", { "data-filter": "sort", "aria-label": "order", onchange: (e) => { filters.sort = e.target.value; refresh(); } }, el("option", { value: "" }, "in order of the input"),
    names.flatMap((n) => [el("option", { value: `+${n}` }, `${n}, lowest first`), el("option", { value: `-${n}` }, `${n}, highest first`)]));
  const bound = (name, title) => el("input", { type: "number", step: "any", "data-filter": name, placeholder: title, "aria-label": `${title} of the score`, oninput: (e) => { filters[name] = e.target.value; limit = 60; refresh(); } });
  grid = el("div", { class: "gallery" });
  count = el("span", { class: "soft", id: "count" });
  const bar = el("div", { class: "filters" }, choice("fate", "every fate", RUN.samples.map((s) => s.fate)), choice("stage", "every step", RUN.samples.map((s) => s.stage)),
    choice("tag", "however picked", RUN.samples.flatMap((s) => s.tags)), choice("language", "every language", RUN.samples.map(languageOf)),
    el("input", { type: "search", "data-filter": "search", placeholder: "search in texts", "aria-label": "search in texts", oninput: (e) => { filters.search = e.target.value; limit = 60; refresh(); } }),
    sorts, choice("score", "any score", names), bound("least", "from"), bound("most", "to"), count);
  section("samples", "Samples", "Half by chance, an equal share of every fate and step; half on purpose: tails, thresholds, duplicates, failures. Arrow keys turn the pages of an opened one.", bar, all, grid, more);
  refresh();
}

// ---- duplicates, as clusters side by side

function clusters() {
  const marks = RUN.duplicates || [];
  const found = new Map();
  for (const s of RUN.samples) for (const tag of s.tags) if (marks.some((m) => tag.startsWith(`${m}: `))) found.set(tag, [...(found.get(tag) || []), s]);
  return [...found].filter(([, members]) => members.length > 1).map(([tag, members]) => {
    const [mark, first] = tag.split(": ");
    const likeness = mark.replace(/of$/, "score");
    const stands = (s) => s.uid === first;
    const role = (s) => (stands(s) ? "stands for it" : s.scores[likeness] === undefined ? "repeats it" : `${likeness} ${short(s.scores[likeness])}`);
    return el("div", { class: "card" }, el("p", { class: "small" }, el("b", {}, mark), el("span", { class: "soft" }, ` ${first}`)), el("div", { class: "members" },
      members.sort((a, b) => stands(b) - stands(a)).map((s) => el("button", { class: "member", onclick: () => zoom(s) }, picture(s, ""), el("span", { class: "soft small line" }, role(s)),
        el("span", { class: `fate fate-${s.fate} small` }, s.stage ? `${s.fate} at ${s.stage}` : s.fate), el("span", { class: "small", dir: "auto" }, ` ${(s.texts.text || "").slice(0, 80)}`)))));
  });
}
