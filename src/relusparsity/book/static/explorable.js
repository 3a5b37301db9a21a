// The recipes under the reader's hand: the checked levels name a recorded recipe, whose numbers the bars show.
document.querySelectorAll(".explorable").forEach((figure) => {
  const cells = JSON.parse(figure.querySelector("script").textContent);
  const form = figure.querySelector("form");
  const rows = [...figure.querySelectorAll(".row")];
  const said = figure.querySelector(".explorable-said");
  form.hidden = false;
  figure.querySelector("details").open = false;

  const show = () => {
    const levels = [...form.querySelectorAll("input:checked")].map((input) => input.value);
    const cell = cells[levels.join(" ")];
    figure.classList.toggle("not-run", !cell);
    if (!cell) {
      said.textContent = "This recipe did not finish: it diverged.";
      return;
    }
    rows.forEach((row, layer) => {
      const { style } = row.querySelector(".range");
      row.querySelector("b").style.width = `${cell.use[layer]}%`;
      style.left = `${cell.low[layer]}%`;
      style.width = `${cell.high[layer] - cell.low[layer]}%`;
      row.querySelector("output").textContent = `${cell.use[layer].toFixed(1)} %`;
    });
    const lowest = Math.min(...cell.use);
    const doubt = cell.agree ? "" : " on average, but the seeds disagree";
    const where =
      lowest >= 99
        ? "No layer empties: all end at 99 % or more."
        : `Layer ${cell.use.indexOf(lowest)} is the lowest${doubt}, at ${lowest.toFixed(1)} %.`;
    said.textContent = `${where} Loss ${cell.loss.toFixed(2)} nats per token.`;
  };
  form.addEventListener("change", show);
  show(); // a browser may have kept the switches of an earlier visit
});
