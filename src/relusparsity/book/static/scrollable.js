// A table that is wider than the page scrolls inside its frame: by keyboard too, where it can be focused.
(() => {
  const mark = () => document.querySelectorAll("article table, article pre").forEach((one) => {
    if (one.scrollWidth > one.clientWidth + 1) one.tabIndex = 0;
    else one.removeAttribute("tabindex");
  });
  addEventListener("resize", mark);
  mark();
})();
