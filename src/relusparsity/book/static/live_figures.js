// Draws each live figure over its picture. Without this script, without Plotly, or in print, the picture stays.
"use strict";

const NARROW = 560; // px: below this a figure gets smaller type and margins

function themed(layout) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(`--pst-color-${name}`).trim();
  const text = colour("text-base"), line = colour("border"), surface = colour("surface");
  layout.paper_bgcolor = layout.plot_bgcolor = "rgba(0,0,0,0)";
  layout.font = { ...layout.font, color: text, family: style.getPropertyValue("--book-sans") };
  layout.hoverlabel = { ...layout.hoverlabel, bgcolor: surface, bordercolor: line,
                        font: { ...layout.hoverlabel?.font, color: text } };
  for (const key of new Set(["xaxis", "yaxis", ...Object.keys(layout).filter((k) => /^[xy]axis\d*$/.test(k))])) {
    layout[key] = { ...layout[key], gridcolor: line, zerolinecolor: line, linecolor: line, tickcolor: line };
  }
  for (const control of [...(layout.sliders ?? []), ...(layout.updatemenus ?? [])]) {
    Object.assign(control, { bgcolor: surface, bordercolor: line, activebgcolor: line, tickcolor: text });
    control.font = { ...control.font, color: text };
  }
  return layout;
}

function fitted(layout, width) {
  delete layout.width;
  layout.autosize = true;
  if (width < NARROW) {
    layout.font = { ...layout.font, size: 11 };
    layout.margin = { ...layout.margin, l: Math.min(layout.margin?.l ?? 52, 52), r: 8 };
    layout.dragmode = false; // a finger scrolls the page
  }
  return layout;
}

async function draw(figure) {
  const { data, layout, frames } = JSON.parse(figure.querySelector("script").textContent);
  const plot = document.createElement("div");
  plot.className = "live-figure-plot";
  plot.setAttribute("aria-label", figure.querySelector("img").alt);
  figure.prepend(plot);
  const config = { responsive: true, displayModeBar: false };
  await Plotly.newPlot(plot, { data, layout: themed(fitted(layout, figure.clientWidth)), frames, config });
  figure.classList.add("is-live");
  return plot;
}

addEventListener("DOMContentLoaded", async () => {
  if (!window.Plotly) return;
  const plots = [];
  new MutationObserver(() => plots.forEach((plot) => Plotly.react(plot, plot.data, themed(plot.layout))))
    .observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  for (const figure of document.querySelectorAll(".live-figure")) plots.push(await draw(figure));
});
