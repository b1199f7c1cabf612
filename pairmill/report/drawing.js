"use strict";
// Draws the report from the JSON in #data.  Text from the web only ever becomes text nodes.
const DATA = JSON.parse(document.getElementById("data").textContent);
const RUNS = DATA.runs;
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
  node.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined));
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
const heads = (...names) => el("tr", {}, names.map((n, i) => el(n ? "th" : "td", { scope: n ? "col" : null, class: i && !["reasons", "gates"].includes(n) ? null : "left" }, n)));

// What is wider than the page moves sideways, with the keyboard, too.
const scroller = (...children) => el("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "table; moves sideways" }, ...children);

// A line that a person may want elsewhere, with a button that takes it along.
function copied(text) {
  const code = el("code", {}, text);
  const mark = () => { const range = document.createRange(); range.selectNodeContents(code); getSelection().removeAllRanges(); getSelection().addRange(range); };
  const button = el("button", { class: "link small", type: "button", onclick: async () => {
    try { await navigator.clipboard.writeText(text); button.textContent = "copied"; } catch { mark(); button.textContent = "marked; press Ctrl-C"; }
    setTimeout(() => { button.textContent = "copy"; }, 2000);
  } }, "copy");
  return el("span", { class: "copied small" }, code, " ", button);
}

const shelled = (text) => `"${text.replace(/(["\\$`])/g, "\\$1")}"`;
