// Puts each figure's drawing into the page, moves its marks, and says what lies under the pointer. Every number that is
// drawn was placed by Matplotlib: this script sets attributes. Without it the picture stays.
"use strict";
(() => {
  const narrow = matchMedia("(max-width: 600px)");
  const plain = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
  const compact = new Intl.NumberFormat("en", { maximumSignificantDigits: 3, notation: "compact" });
  const tip = document.createElement("div");
  tip.className = "figure-tip";
  tip.hidden = true;

  const said = (value, tokens) => {
    if (typeof value !== "number") return value ?? "missing";
    return (tokens ? compact : plain).format(value).replace("K", "k").replace("-", "−");
  };
  // Where a number lies along an axis that runs from pixel `from` to `to`.
  const along = ([from, to], [low, high], log, value) => {
    const f = log ? Math.log : Number;
    return from + ((to - from) * (f(value) - f(low)) / (f(high) - f(low)));
  };

  function live(figure) {
    const data = FIGURES[figure.dataset.figure], form = figure.querySelector("form");
    const holder = document.createElement("div");
    holder.className = "figure-drawing";
    figure.querySelector("picture").before(holder);
    let state = data.active, drawing, svg, targets;

    const move = () => {
      drawing.moves?.[state].forEach((value, n) => {
        for (const { element, attribute, first } of targets[n]) {
          const now = value ?? first;
          if (attribute === "text") element.textContent = now;
          else if (attribute === "inner") element.innerHTML = now;
          else element.setAttribute(attribute, now);
        }
      });
    };
    const draw = () => {
      drawing = data.drawings[narrow.matches ? "narrow" : "wide"];
      holder.innerHTML = drawing.svg;
      svg = holder.firstElementChild;
      svg.setAttribute("role", "img");
      svg.setAttribute("aria-label", figure.querySelector("img").alt);
      targets = (drawing.targets ?? []).map((alike) => alike.map(([part, n, attribute]) => {
        const group = svg.querySelector(`[data-part="${part}"]`), element = [group, ...group.querySelectorAll("*")][n];
        const first = { text: element.textContent, inner: element.innerHTML }[attribute] ?? element.getAttribute(attribute);
        return { element, attribute, first: first ?? "" };
      }));
      move();
      if (slider && drawing.stops) { // the slider's scale is the axis of the cursor
        const { x } = drawing.boxes[cursor], width = svg.viewBox.baseVal.width;
        slider.style.marginLeft = `calc(${100 * x[0] / width}% - 8px)`;
        slider.style.width = `calc(${100 * (x[1] - x[0]) / width}% + 16px)`;
      }
    };

    const slider = form?.querySelector("input[type=range]"), output = form?.querySelector("output");
    const cursor = data.cursor, stops = data.drawings.wide.stops;
    const choose = (k) => {
      state = Math.max(0, Math.min(data.states.length - 1, k));
      if (slider) {
        slider.value = stops ? 1000 * stops[state] : state;
        slider.setAttribute("aria-valuetext", data.states[state]);
        output.textContent = data.states[state];
      }
      move();
    };
    const nearest = (at) => stops.reduce((best, stop, k) => (Math.abs(stop - at) < Math.abs(stops[best] - at) ? k : best), 0);
    if (slider && stops) {
      slider.max = 1000;
      slider.step = "any";
      const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10, Home: -1e9, End: 1e9 };
      slider.addEventListener("keydown", (event) => {
        if (!(event.key in steps)) return;
        event.preventDefault();
        choose(state + steps[event.key]);
      });
    }
    // Of several questions the last one's answers lie next to each other among the states.
    const questions = [...(form?.querySelectorAll("fieldset, select") ?? [])];
    const answered = () => questions.reduce((k, question) => {
      const answers = question.options ?? question.querySelectorAll("input");
      return k * answers.length + (question.selectedIndex ?? Number(question.querySelector("input:checked").value));
    }, 0);
    form?.addEventListener("input", () => {
      if (slider) choose(stops ? nearest(slider.value / 1000) : Number(slider.value));
      else choose(answered());
    });
    form?.addEventListener("submit", (event) => event.preventDefault());

    // What lies under the pointer: the nearest point of the marks that say something.
    const under = (event) => {
      let best = 24, words;
      data.panels.forEach((marks, n) => {
        const box = drawing.boxes[n], group = svg.querySelector(`[data-part="p${n}"]`) ?? svg;
        const p = new DOMPoint(event.clientX, event.clientY).matrixTransform(group.getScreenCTM().inverse());
        if (p.x < box.x[0] - 4 || p.x > box.x[1] + 4 || p.y > box.y[0] + 4 || p.y < box.y[1] - 4) return;
        marks.forEach((mark, m) => {
          if (!mark.hover) return;
          const new_ = data.told?.[state].find(([a, b]) => a === n && b === m)?.[2] ?? {}, now = { ...mark, ...new_ };
          const say = (i, z, x = now.x[i], y = now.y[i]) => now.hover.replace(/\{(\w+)\}/g, (_, key) => {
            if (key === "x") return said(x, data.tokens.x[n]);
            if (key === "y") return said(y, data.tokens.y[n]);
            return key === "z" ? said(z) : said([now.extra[i]].flat()[key]);
          });
          if (mark.kind === "cells") {
            const [row, column] = [along([0, 1], box.y, false, p.y), along([0, 1], box.x, false, p.x)];
            const r = Math.floor((1 - row) * now.z.length), c = Math.floor(column * now.z[0].length), z = now.z[r]?.[c];
            if (z != null) [best, words] = [0, say(0, z, now.x[c], now.y[r])];
            return;
          }
          now.x.forEach((x, i) => {
            const y = now.y[i];
            if (x == null || y == null || typeof x === "string") return;
            const px = along(box.x, box.xlim, box.log[0], x), base = now.base?.[i] ?? 0;
            let distance;
            if (mark.kind === "bars") {
              const half = ([now.bar_width ?? 0.8].flat()[i] ?? [now.bar_width ?? 0.8].flat()[0]) / 2;
              const ends = [x - half, x + half].map((v) => along(box.x, box.xlim, box.log[0], v));
              const [foot, top] = [base, base + y].map((v) => along(box.y, box.ylim, box.log[1], v));
              if (p.x < ends[0] || p.x > ends[1]) return;
              // beside a bar that is too low to be hit, above others
              distance = p.y <= Math.max(foot, top) && p.y >= Math.min(foot, top) ? 8 : 20;
            } else distance = Math.hypot(px - p.x, along(box.y, box.ylim, box.log[1], y) - p.y);
            if (distance < best) [best, words] = [distance, say(i)];
          });
        });
      });
      tip.hidden = !words;
      tip.textContent = words ?? "";
      tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8))}px`;
      tip.style.top = `${Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8)}px`;
    };
    holder.addEventListener("pointermove", under);
    holder.addEventListener("pointerdown", under);
    holder.addEventListener("pointerleave", () => { tip.hidden = true; });

    draw();
    narrow.addEventListener("change", draw);
    if (form) {
      form.hidden = false;
      choose(slider ? state : answered()); // a browser may have kept what an earlier visit chose
    }
    figure.classList.add("is-live");
  }

  addEventListener("DOMContentLoaded", () => {
    document.body.append(tip);
    for (const figure of document.querySelectorAll("figure[data-figure]")) {
      if (window.FIGURES?.[figure.dataset.figure]) live(figure);
    }
  });
})();
