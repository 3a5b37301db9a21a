// A card beside a link inside the book: under a mouse, and at the link that the keyboard is on. Escape closes it. A
// finger follows the link as ever and sees no card.
"use strict";

addEventListener("DOMContentLoaded", () => {
  const root = new URL(document.documentElement.dataset.content_root, location.href).href;
  const card = document.createElement("div");
  card.id = "hover-card";
  card.role = "tooltip";
  card.hidden = true;
  document.body.append(card);
  let shown = null, timer = 0, title = null;

  const entryOf = (link) => {
    const whole = link.href;
    if (!whole.startsWith(root) || link.closest(".headerlink, .live-figure-links, .prev-next-area")) return null;
    return (window.bookCards ?? {})[decodeURI(whole.slice(root.length))] ?? null;
  };

  const hide = () => {
    clearTimeout(timer);
    if (!shown) return;
    shown.removeAttribute("aria-describedby");
    if (title !== null) shown.title = title;
    shown = title = null;
    card.hidden = true;
  };

  const show = (link) => {
    const entry = entryOf(link);
    if (!entry || link === shown) return;
    hide();
    shown = link;
    title = link.getAttribute("title"); // or the browser would show it too
    link.removeAttribute("title");
    const [heading, text] = entry;
    const strong = document.createElement("strong");
    strong.textContent = heading;
    card.replaceChildren(...(heading ? [strong, " "] : []), text);
    card.hidden = false;
    link.setAttribute("aria-describedby", card.id);
    place();
  };

  const place = () => {
    const at = shown.getClientRects()[0], edge = 8;
    const left = Math.min(at.left, document.documentElement.clientWidth - card.offsetWidth - edge);
    const below = at.bottom + 4, above = at.top - card.offsetHeight - 4;
    card.style.left = `${Math.max(edge, left)}px`;
    card.style.top = `${below + card.offsetHeight > innerHeight && above > 0 ? above : below}px`;
  };

  const later = (what, wait) => {
    clearTimeout(timer);
    timer = setTimeout(what, wait);
  };
  const linkAt = (event) => (event.target instanceof Element ? event.target.closest("article a[href], .bd-breadcrumbs a[href]") : null);

  document.addEventListener("pointerover", (event) => {
    if (event.pointerType !== "mouse") return;
    const link = linkAt(event);
    if (link) later(() => show(link), 200);
    else if (shown && !card.contains(event.target)) later(hide, 200);
    else if (card.contains(event.target)) clearTimeout(timer); // it can be read, and its text chosen
  });
  document.addEventListener("focusin", (event) => {
    const link = linkAt(event);
    if (link?.matches(":focus-visible")) show(link);
    else hide();
  });
  document.addEventListener("focusout", hide);
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
  // The keyboard's own steps scroll to the link they come to: its card stays beside it.
  addEventListener("scroll", () => (shown?.matches(":focus-visible") ? place() : hide()), { passive: true });
});
