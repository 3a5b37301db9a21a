"""A chart in words, as a person would say it: every number is one that is drawn, what is not drawn is not said."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from relusparsity.plots.chart import Axis, Chart, Mark, Panel
from relusparsity.plots.described import MOST, SENTENCES, described
from relusparsity.plots.written import MIME, from_json

NAN = float("nan")
LAYERS = Axis("layer", ticks=([0.0, 1.0], ["0", "1"]))
SHARE = Axis("use, %")
TOKENS = Axis("tokens seen", log=True, tokens=True)


def said(*marks: Mark, x: Axis = LAYERS, y: Axis = SHARE) -> str:
    return described(Chart([Panel("batch use,\n% of units", x, y, list(marks))]))


def line(name: str, *y: float, dash: str = "solid") -> Mark:
    return Mark("line", np.arange(len(y)), list(y), "ink", name, hover="{y}", dash=dash)  # type: ignore[arg-type]


def test_bars_have_a_lowest_and_a_highest_and_a_missing_one_is_said() -> None:
    bars = Mark("bars", [0, 1], [12.34, 1.5], "ink", hover="…")
    assert said(bars) == "A bar chart of batch use, % of units, by layer: from 1.5 (layer 1) to 12.3 (layer 0)."
    assert said(Mark("bars", [0, 1], [12.34, NAN], "ink", hover="…")).endswith(": at 12.3, 1 value missing.")
    assert said(Mark("bars", [0, 1], [3, 3], "ink", hover="…")).endswith(": all at 3.")


def test_bars_by_name_and_of_several_kinds() -> None:
    words = Mark("bars", ["rate", "random"], [1, -2.5], "ink", hover="…")
    assert said(words, x=Axis(words=True)).endswith("% of units: from −2.5 (random) to 1 (rate).")
    kinds = [
        Mark("bars", [0, 1], [1, y], "ink", hover=f"layer {{x}}\n{kind}: {{y}}")
        for kind, y in (("dead", 2), ("rare", 1))
    ]
    assert said(*kinds).endswith(": dead, from 1 (layer 0) to 2 (layer 1); rare, all at 1.")


def test_of_bars_that_are_spans_both_ends_are_told() -> None:
    spans = Mark("bars", [0, 1], [0.5, 2], "ink", base=np.array([-1, 3.25]), hover="{0}\nfrom {1} to {2}")
    assert said(spans).endswith(": 2 spans, −1 to −0.5 (layer 0), 3.25 to 5.25 (layer 1).")
    assert said(Mark("bars", [0, 1], [0.5, NAN], "ink", base=np.array([1, 2]), hover="…")).endswith(
        ": 1 span, 1 to 1.5 (layer 0)."
    )
    assert said(Mark("bars", [0, 1], [NAN, NAN], "ink", base=np.array([1, 2]), hover="…")).endswith(": no span.")
    many = Mark("bars", np.arange(12), np.full(12, 2.0), "ink", base=np.arange(12.0), hover="…")
    assert said(many, x=Axis("layer")).endswith(": spans between 0 and 13.")
    stacked = Mark("bars", [0, 1], [1, 2], "ink", base=np.array([3, 3]), hover="layer {x}\n{y} units")
    assert said(stacked).endswith(": from 1 (layer 0) to 2 (layer 1)."), "a part of a stack tells its height"


def test_of_a_histogram_the_peak_is_told_and_where_it_is() -> None:
    heights = np.r_[np.arange(15.0), 3, 2, 1, 0, 0]
    assert said(Mark("bars", 1e6 * np.arange(20), heights, "ink", hover="…"), x=TOKENS).endswith("highest 14 at 14M.")
    assert said(Mark("bars", 1e6 * np.arange(20), -heights, "ink", hover="…"), x=TOKENS).endswith("lowest −14 at 14M.")
    ticks = Axis("rate, %", ticks=([0.0, 15.0], ["0.01", "1"]))
    assert said(Mark("bars", np.arange(20), heights, "ink", hover="…"), x=ticks).endswith("highest 14 near 1.")


def test_a_line_runs_from_its_first_to_its_last_value() -> None:
    assert said(line("layer 0", NAN, 99.5, 50, 11.6)).endswith(": layer 0 falls from 99.5 to 11.6.")
    assert said(line("a", 1, 2), line("b", 1, 1)).endswith(": a rises from 1 to 2; b stays at 1.")
    assert said(line("a", 0, 100), line("b", 50, 49.5, 50.5)).endswith("b stays near 50.5.")
    assert said(line("random", NAN, NAN, dash="dot")).endswith(": random (dotted) has no value.")


def test_what_a_line_meets_beyond_its_ends_is_told() -> None:
    assert said(line("a", 50, 10, 40)).endswith("a falls from 50 to 40 (lowest 10).")
    assert said(line("a", 50, 90, 10, 60)).endswith("a rises from 50 to 60 (lowest 10, highest 90).")
    assert said(line("a", 50, 49, 100)).endswith("a rises from 50 to 100."), "by little, it is not"


def test_lines_that_all_run_one_way_share_the_verb_and_many_dotted_ones_are_told_by_their_ends() -> None:
    three = [line(name, 1, end) for name, end in (("a", 2), ("b", 3), ("c", 4))]
    assert said(*three).endswith(": all rise, a from 1 to 2, b from 1 to 3, c from 1 to 4.")
    dotted = [line(name, 1, end, dash="dot") for name, end in zip("abcdef", range(6), strict=True)]
    assert said(*three, *dotted).endswith("; 6 dotted lines that end between 0 (a) and 5 (f).")
    many = [line(str(k), 1, k) for k in range(MOST + 1)]
    assert said(*many).endswith(f": {MOST + 1} lines that end between 0 (0) and {MOST} ({MOST}).")


def test_marks_without_a_hover_text_repeat_others_and_are_left_out() -> None:
    assert said(Mark("line", [1, 2], [7, 8], "ink", width=0.8)).endswith(": nothing is drawn.")


def test_marks_of_the_source_are_the_papers_and_not_counted_as_data() -> None:
    bars = Mark("bars", [0, 1], [11.6, 73.5], "ink", hover="…")
    seeds = Mark("points", [0, 0, 1, 1], [10, 13, 70, 77], "ink", hover="layer {0}, seed {1}", symbol="ring")
    look = {"hover": "layer {x}\nWild and Anderson, at convergence: {y} %", "words": ["W&A 13.3 %", "W&A 95.6 %"]}
    source = Mark("points", [0, 1], [13.3, 95.6], "ink", **look)  # type: ignore[arg-type]
    words = said(bars, source, seeds)
    assert words.endswith("; marks of what W&A report, 13.3 at layer 0 and 95.6 at layer 1.")
    assert "; 4 dots of single seeds from 10 to 77;" in words


def test_dots_are_counted_together_and_read_along_the_axis_of_values() -> None:
    points = [Mark("points", [5, 6], [1, 2], "ink", hover="…"), Mark("points", [9], [3], "ink", hover="…")]
    assert said(*points, x=Axis()).endswith(": 3 dots from 1 to 3.")
    names = Axis(ticks=([1.0, 2.0, 3.0], ["decay", "rate", "init"]), names=True)
    words = said(*points, x=Axis("effect"), y=names)
    assert words == "A dot chart of batch use, % of units, effect: 3 dots from 5 (decay) to 9 (init)."
    assert said(points[1], x=Axis()).endswith("1 dot at 3.")


def test_cells_tokens_and_thousands() -> None:
    cells = Mark("cells", ["a", "b"], ["c"], "ink", hover="…", z=np.array([[1.0, 5.0]]))
    assert (
        said(cells, x=Axis(words=True)) == "A shaded table of batch use, % of units: numbers from 1 to 5 in 1 row of 2."
    )
    counts = Mark("line", [1, 2], [1e6, 2_500_000], "ink", hover="{y}")
    assert said(counts, y=Axis(tokens=True)).endswith("the line rises from 1M to 2.5M.")
    assert said(Mark("bars", [0, 1], [1024, 32768], "ink", hover="…")).endswith(
        "from 1,024 (layer 0) to 32,768 (layer 1)."
    )


def test_a_few_panels_are_told_by_their_places() -> None:
    panels = [Panel(f"panel {n}", TOKENS, SHARE, [line("a", 1, 2)], row=n) for n in range(3)]
    first = "Above, a line chart of panel 0 against tokens seen (log scale): a rises from 1 to 2. In the middle, a line"
    assert described(Chart(panels)).startswith(first)
    beside = [Panel(f"panel {n}", TOKENS, SHARE, [line("a", 1, 2)], col=n) for n in range(2)]
    assert "On the right, a line chart of panel 1" in described(Chart(beside, columns=2))


def test_many_panels_are_told_together() -> None:
    some = [Panel(f"layer {n}", TOKENS, SHARE, [line("", 9, n)], row=n) for n in range(4)]
    words = described(Chart(some, columns=2))
    assert words.startswith(
        "4 line charts in 2 columns against tokens seen (log scale). Layer 0 falls from 9 to 0; layer 1 "
    )
    many = [Panel(f"recipe {n}", TOKENS, SHARE, [line("a", 9, n), line("b", 9, 5)], row=n) for n in range(16)]
    assert described(Chart(many)).endswith(
        ". The line that ends lowest is b in 10, a in 6 of them; all end between 0 and 15."
    )


def test_a_panel_without_a_title_has_its_rows_and_its_columns() -> None:
    titles = {(0, 0): "use", (1, 0): "loss", (0, 1): "other model", (1, 1): ""}
    panels = [Panel(title, LAYERS, Axis(), [], row=row, col=col) for (row, col), title in titles.items()]
    assert "loss, other model: nothing is drawn" in described(Chart(panels, columns=2))


@pytest.fixture(scope="module")
def figures() -> dict[str, tuple[Chart, str]]:
    """Every figure of the book, and its caption."""
    found = {}
    for file in sorted((Path(__file__).parents[1] / "book" / "chapters").glob("*.ipynb")):
        for cell in json.loads(file.read_text())["cells"]:
            for output in cell.get("outputs", []):
                if MIME in output.get("data", {}):
                    about = output["metadata"]["relusparsity"]
                    found[f"{file.stem}/{about['name']}"] = from_json(output["data"][MIME]), about["caption"]
    return found


def test_every_figure_of_the_book_is_described_in_a_few_whole_sentences(figures: dict[str, tuple[Chart, str]]) -> None:
    for name, (chart, caption) in figures.items():
        words = described(chart)
        assert len(re.findall(r"\.(?: |$)", words)) <= SENTENCES and len(words) < 1000, (name, words)
        assert words != caption and "without a name" not in words and "nothing is drawn" not in words, (name, words)
        assert not re.search(r"[;:,] ?[;:,.]|\be[+-]\d|\bnan\b|  ", words), (name, words)
        assert ("what W&A report" in words) is any(m.words for panel in chart.panels for m in panel.marks), name


def test_the_figure_of_all_layers_says_what_is_drawn(figures: dict[str, tuple[Chart, str]]) -> None:
    chart, _ = figures["02_layer_patterns/batch-use-wide-nearest"]
    y = np.asarray(next(mark.y for mark in chart.panels[0].marks if mark.kind == "bars"), dtype=float)
    low, high = int(y.argmin()), int(y.argmax())
    words = described(chart)
    assert f"from {y[low]:.3g} (layer {low}) to {y[high]:.3g} (layer {high})" in words
    assert "marks of what W&A report, 13.3 at layer 0 and 95.6 at layer 5" in words
