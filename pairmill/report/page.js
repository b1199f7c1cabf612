// ---- the page

PAGE.append(el("header", {}, el("h1", {}, RUNS.map((r) => r.name).join(" against "))));
const nav = el("nav");
PAGE.append(nav);
if (RUNS.length === 1) {
  PAGE.querySelector("header").append(summary(RUN));
  section("funnel", "Where the rows went", "Click a number to see its rows. Green: kept; grey: dropped or without a value; orange: failed.", funnel(RUN));
  if (RUN.scores.length) section("scores", "Scores", `Counted over all ${RUN.sampled ? "drawn " : ""}rows that have the score, kept ones in green. Move a slider to see what another threshold would let through, with samples just below and above it; rows that an earlier step stopped have no score.`, scoreGrid(RUN.scores));
  for (const [name, e] of Object.entries(RUN.elements || {})) {
    const parts = [e.scores.length ? scoreGrid(e.scores) : null, e.captions.length ? captionTable(e.captions) : null, e.choices?.length ? el("div", { class: "grid wide-cards" }, e.choices.map(choiceCard)) : null].filter(Boolean);
    if (parts.length) section(`elements-${name}`, `Elements of ${name}`, "Rows of the table that the block opened: its scores, kept elements in green, the captions of kept ones, and what steps that look at all elements chose.", ...parts);
  }
  if (RUN.effects.length) section("mix", "What the steps did to the mix", "Shares of the rows left after each step. Quality filters quietly remove languages, sources and sizes; the largest changes are named first.", el("div", { class: "grid wide-cards" }, RUN.effects.map(effectCard)));
  if (RUN.choices?.length) section("choices", "Choices", "What steps that look at all rows chose: why rows are in or out, shares requested, achieved and kept in the end, and what the choice did to scores, languages and concepts, beside as many rows drawn by chance where there are such. Click a number to see its rows.", el("div", { class: "grid wide-cards" }, RUN.choices.map(choiceCard)));
  if (RUN.concepts?.length) section("concepts", "Concepts", "How many rows name each concept, before the first step and in what is kept: a balanced set has a flatter head and as much of the tail.", el("div", { class: "grid wide-cards" }, RUN.concepts.map(concepts)));
  if (RUN.captions.length) section("captions", "Captions", "Kept rows; shares are of captions. The first column is the alt text.", captionTable(RUN.captions));
  if (RUN.downloads) section("downloads", "Downloads", null, downloads(RUN.downloads));
  const groups = clusters();
  if (groups.length) section("duplicates", "Duplicates", "Clusters among the samples: the row that stands for it, and rows that repeat it.", el("div", { class: "grid" }, groups));
  if (RUN.samples.length) gallery();
  section("run", "Run", null, runTable(RUN), el("details", {}, el("summary", {}, "Pipeline as run"), el("pre", { tabindex: 0 }, RUN.pipeline)));
} else {
  const both = (make) => el("div", { class: "side" }, RUNS.map((r) => el("div", {}, el("h3", {}, r.run), make(r))));
  section("summary", "Summary", null, both(summary));
  section("pipeline", "What differs in the pipelines", "Lines that only the first has are marked −, those of the second +; below, what differs in how they were run.", differences());
  section("funnel", "Where the rows went", "First run → second run.", funnels());
  if (DATA.compared) section("rows", "Rows gained and lost", null, movedRows(), ...movedSamples().filter(Boolean));
  const shared = RUN.scores.map((s) => [s, RUNS[1].scores.find((o) => o.name === s.name)]).filter((p) => p[1]);
  if (shared.length) section("scores", "Scores", "Bars: the first run; line: the second, each to its own height.", el("div", { class: "grid" }, shared.map(([a, b]) => scoreCard(a, b))));
  if (RUNS.some((r) => r.captions.length)) section("captions", "Captions", null, captionTable(RUNS.flatMap((r, i) => r.captions.map((c) => ({ ...c, column: `${c.column} (${i + 1})` })))));
  section("run", "Runs", null, ...RUNS.flatMap((r) => [el("h3", {}, r.run), runTable(r), el("details", {}, el("summary", {}, "Pipeline as run"), el("pre", { tabindex: 0 }, r.pipeline))]));
}
for (const s of PAGE.querySelectorAll("section")) nav.append(el("a", { href: `#${s.id}` }, s.querySelector("h2").textContent));
