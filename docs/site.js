// Tables that are wider than the page move sideways with the keyboard, too.  The theme wraps tables
// in what moves after the page is there, so it is looked for again at every change.
function focusable() {
  for (const wrap of document.querySelectorAll(".md-typeset__scrollwrap:not([tabindex])")) wrap.tabIndex = 0;
}
new MutationObserver(focusable).observe(document.body, { childList: true, subtree: true });
focusable();
