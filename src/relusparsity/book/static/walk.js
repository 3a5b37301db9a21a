// The map of heads to walk through: a click or the arrow keys choose a head, a pointer or the arrow keys a token of the
// sentence, and the words and numbers follow. Without it the page shows one head, one sentence and one token.
"use strict";
document.querySelectorAll("figure.walk").forEach((figure) => {
  const data = JSON.parse(figure.querySelector("script").textContent);
  const form = figure.querySelector("form"), [score, sentence] = form.querySelectorAll("select");
  const map = figure.querySelector(".walk-map"), words = figure.querySelector(".walk-tokens");
  const cells = [...map.querySelectorAll("i")], key = [...figure.querySelectorAll(".walk-key i")];
  const narrow = matchMedia("(max-width: 600px)");
  let [layer, head, , query] = data.start, attention = [];

  const number = (value) => {
    if (value === null || value === undefined) return "not measured";
    const size = Math.floor(100 * Math.abs(value) + 0.5) / 100;
    return `${value < 0 && size ? "−" : ""}${size.toFixed(2)}`;
  };
  const place = () => layer * data.heads + head;
  const of = (name) => data.scores.find((one) => one.name === name);
  const tokens = () => data.tokens[sentence.selectedIndex];
  // What a query gives each token up to itself, of 255 parts.
  const given = (q, n = tokens().length) => {
    const begin = (place() * n * (n + 1)) / 2 + (q * (q + 1)) / 2;
    return attention.subarray(begin, begin + q + 1);
  };
  const percent = (part) => Math.floor((100 * part) / 255 + 0.5);

  const look = (cell, value, most) => {
    const share = value === null ? 0 : Math.min(Math.abs(value) / most, 1);
    cell.style.setProperty("--s", `${Math.round(100 * Math.sqrt(share))}%`);
    cell.style.setProperty("--c", `var(--figure-layer-${Math.round(20 * (1 - share))})`);
    cell.classList.toggle("walk-below", value < 0);
    cell.classList.toggle("walk-none", value === null);
  };
  const paint = () => {
    const { name, unit, most, values: [values] } = data.scores[score.selectedIndex];
    const known = (values ?? cells.map(() => null)), top = most ?? Math.max(...known.map(Math.abs), 1e-9);
    map.setAttribute("aria-label", `Heads by ${name}`);
    cells.forEach((cell, at) => {
      look(cell, known[at], top);
      const said = `layer ${Math.floor(at / data.heads)}, head ${at % data.heads}: ${number(known[at])}`;
      cell.setAttribute("aria-label", said);
      cell.title = said;
    });
    key.forEach((cell, at) => {
      look(cell, (top * at) / (key.length - 1), top);
      cell.nextSibling.textContent = `${Number(((top * at) / (key.length - 1)).toPrecision(2))}${unit && at ? ` ${unit}` : ""}`;
    });
    figure.querySelectorAll(".walk-scores tbody tr").forEach((row, at) => {
      row.classList.toggle("walk-of", at === score.selectedIndex);
    });
  };

  const said = () => {
    const value = (one) => one.values[0]?.[place()];
    const there = data.scores.slice(0, data.functions).filter((one) => value(one) >= data.least);
    const told = there.map((one) => `${one.name} ${number(value(one))} ${one.of}`);
    const what = told.length ? told.join(", also ") : `no function reaches ${data.least}`;
    return `Layer ${layer}, head ${head}: ${what}; copying ${number(value(of("copying")))}.`;
  };
  const looks = () => {
    const seen = given(query), name = (at) => `“${tokens()[at].trim()}” (${at})`;
    const order = [...seen.keys()].sort((a, b) => seen[b] - seen[a] || a - b).slice(0, 3);
    const told = order.filter((at) => percent(seen[at])).map((at) => `${name(at)} ${percent(seen[at])} %`);
    return told.length ? `From ${name(query)} to ${told.join(", ")}.` : "Nothing to tell.";
  };
  const read = () => {
    const seen = given(query);
    [...words.children].forEach((word, at) => {
      const share = at <= query ? percent(seen[at]) : 0;
      word.style.setProperty("--w", `${share}%`);
      word.lastChild.textContent = share || "";
      word.className = at === query ? "walk-query" : at > query ? "walk-later" : "";
      word.tabIndex = at === query ? 0 : -1;
      word.setAttribute("aria-selected", at === query);
      word.setAttribute("aria-label", `${tokens()[at].trim()}, ${at}${at <= query ? `: gets ${share} %` : ""}`);
    });
    figure.querySelector(".walk-looks").textContent = looks();
  };
  const choose = (l, h, focus = true) => {
    layer = Math.max(0, Math.min(data.layers - 1, l));
    head = Math.max(0, Math.min(data.heads - 1, h));
    cells.forEach((cell, at) => {
      cell.classList.toggle("walk-chosen", at === place());
      cell.tabIndex = at === place() ? 0 : -1;
      cell.setAttribute("aria-selected", at === place());
    });
    if (focus) cells[place()].focus();
    figure.querySelector(".walk-said").textContent = said();
    figure.querySelectorAll(".walk-scores tbody tr").forEach((row, at) => {
      [...row.querySelectorAll("td")].forEach((cell, reading) => {
        const value = data.scores[at].values[reading]?.[place()];
        cell.textContent = value === null || value === undefined ? "–" : number(value);
      });
    });
    read();
  };
  // The query that gives most to a token which is not the first, nor the one before it, nor itself.
  const telling = () => {
    const most = tokens().map((_, q) => Math.max(0, ...given(q).subarray(1, Math.max(q - 1, 1))));
    return Math.max(...most) ? most.indexOf(Math.max(...most)) : most.length - 1;
  };
  const open = () => {
    attention = Uint8Array.from(atob(data.attention[sentence.selectedIndex]), (letter) => letter.charCodeAt(0));
    words.replaceChildren(...tokens().map((token) => {
      const word = document.createElement("span");
      word.setAttribute("role", "option");
      word.append(token, document.createElement("small"));
      return word;
    }));
  };

  map.setAttribute("role", "grid");
  [...map.children].forEach((row, at) => {
    row.setAttribute("role", "row");
    row.querySelectorAll("b").forEach((label, n) => label.setAttribute("role", at && !n ? "rowheader" : "columnheader"));
  });
  cells.forEach((cell, at) => {
    cell.setAttribute("role", "gridcell");
    cell.addEventListener("click", () => choose(Math.floor(at / data.heads), at % data.heads));
  });
  map.addEventListener("keydown", (event) => {
    // layers go across on a wide page, and down on a narrow one
    const across = { ArrowLeft: -1, ArrowRight: 1, Home: -1e9, End: 1e9 }[event.key] ?? 0;
    const down = { ArrowUp: -1, ArrowDown: 1 }[event.key] ?? 0;
    if (!across && !down) return;
    event.preventDefault();
    if (narrow.matches) choose(layer + down, head + across);
    else choose(layer + across, head + down);
  });
  words.setAttribute("role", "listbox");
  words.setAttribute("aria-label", "Tokens of the sentence: which one looks");
  const ask = (event) => {
    const at = [...words.children].indexOf(event.target.closest(".walk-tokens > span"));
    if (at < 0 || at === query) return;
    query = at;
    read();
  };
  words.addEventListener("pointerover", ask);
  words.addEventListener("click", ask);
  words.addEventListener("keydown", (event) => {
    const last = tokens().length - 1;
    const to = {
      ArrowLeft: query - 1, ArrowUp: query - 1, ArrowRight: query + 1, ArrowDown: query + 1, Home: 0, End: last,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    query = Math.max(0, Math.min(last, to));
    read();
    words.children[query].focus();
  });
  score.addEventListener("change", paint);
  sentence.addEventListener("change", () => {
    open();
    query = telling();
    read();
  });

  form.hidden = false;
  open();
  if (sentence.selectedIndex !== data.start[2]) query = telling(); // a browser may have kept what a visit chose
  paint();
  choose(layer, head, false);
  figure.classList.add("is-live");
});
