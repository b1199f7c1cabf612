() => {
  const seen = [...document.querySelectorAll("main *")].filter((n) => n.getClientRects().length && n.getBoundingClientRect().width > 1 && !n.closest("svg svg, .near"));
  const line = parseFloat(getComputedStyle(document.body).lineHeight);
  const round = (x) => Math.round(1000 * x) / 1000;
  const name = (n) => `${n.tagName.toLowerCase()}${n.id ? `#${n.id}` : ""}${n.className && n.className.baseVal === undefined ? `.${n.className}` : ""} ${(n.textContent || "").trim().slice(0, 30)}`;
  const style = (n, key) => getComputedStyle(n)[key];
  // what may move sideways may be wider than the page
  const moves = (n) => n.closest(".scroll, nav, pre");
  const outside = seen.filter((n) => !moves(n) && !n.closest("svg") && (n.getBoundingClientRect().right > innerWidth + 1 || n.getBoundingClientRect().left < -1)).map(name);
  const cut = seen.filter((n) => n.clientWidth && n.scrollWidth > n.clientWidth + 1 && ["hidden", "clip"].includes(style(n, "overflowX"))).map(name);
  // cards, controls, links and cells beside one another, none over the other
  const covered = [];
  for (const parent of new Set(seen.filter((n) => n.matches(".card, .member, select, input, button, nav a, td, th, h2, h3, p")).map((n) => n.parentElement))) {
    const boxes = [...parent.children].filter((n) => n.getClientRects().length && style(n, "position") !== "absolute" && style(n, "position") !== "sticky" && style(n, "display") !== "inline").map((n) => [n, n.getBoundingClientRect()]);
    for (let i = 0; i + 1 < boxes.length; i += 1) {
      const [[a, x], [b, y]] = [boxes[i], boxes[i + 1]];
      if (Math.min(x.right, y.right) - Math.max(x.left, y.left) > 1 && Math.min(x.bottom, y.bottom) - Math.max(x.top, y.top) > 1) covered.push(`${name(a)} / ${name(b)}`);
    }
  }
  const small = seen.filter((n) => [...n.childNodes].some((c) => c.nodeType === 3 && c.textContent.trim()) && parseFloat(style(n, "fontSize")) < 11).map(name);
  const sections = {};
  for (const part of document.querySelectorAll("header, nav, section")) {
    const box = part.getBoundingClientRect();
    const grid = [...part.querySelectorAll(".grid, .gallery, .side")].find((n) => n.getClientRects().length);
    sections[part.id || part.tagName.toLowerCase()] = {
      left: round(box.left / innerWidth), right: round(box.right / innerWidth), height: Math.round((10 * box.height) / line) / 10,
      columns: grid && style(grid, "display") === "grid" ? style(grid, "gridTemplateColumns").split(" ").length : 0,
    };
  }
  const letters = {}, colours = {};
  for (const selector of ["body", "h1", "h2", "h3", ".big b", ".small", "th", "td", "code", "nav a", "select"]) {
    const first = [...document.querySelectorAll(selector)].find((n) => n.getClientRects().length);
    if (first) letters[selector] = style(first, "fontSize");
  }
  for (const [selector, key] of [["body", "color"], ["body", "backgroundColor"], [".card", "backgroundColor"], [".warning", "color"], [".fill-kept", "fill"], [".fill-warn", "fill"], [".gate-line", "stroke"], ["td button", "color"]]) {
    const first = document.querySelector(selector);
    if (first) colours[`${selector} ${key}`] = style(first, key);
  }
  return { sections, outside, cut, covered, small, letters, colours };
}
