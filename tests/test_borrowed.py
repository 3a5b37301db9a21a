"""A page that shows a chapter's figure: it is the chapter's own, and a name that is not there is one sentence."""

import json
from pathlib import Path

import pytest

from relusparsity.book import borrowed
from relusparsity.plots.written import MIME

CHAPTER = Path(__file__).parents[1] / "book/chapters/02_layer_patterns.ipynb"


def test_the_front_page_shows_chapter_2s_own_figure(root: Path) -> None:
    text = (root / "book/index.md").read_text()
    chapter, _, name = text.partition("{chapter-figure} ")[2].splitlines()[0].partition("/")
    about, chart = borrowed.found(root / f"book/chapters/{chapter}.ipynb", name)
    outputs = [
        output
        for cell in json.loads(CHAPTER.read_text())["cells"]
        for output in cell.get("outputs", [])
        if output.get("metadata", {}).get("relusparsity", {}).get("name") == name
    ]
    assert [output["data"][MIME] for output in outputs] == [chart] and about["title"]


def test_a_figure_that_a_chapter_lacks_is_one_sentence() -> None:
    with pytest.raises(
        ValueError, match=r"^02_layer_patterns has no figure 'no-such'; it has batch-use-wide-nearest, "
    ):
        borrowed.found(CHAPTER, "no-such")
