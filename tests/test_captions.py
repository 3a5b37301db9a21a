"""Numbers, titles and permanent names of the tables that pandas printed, on notebooks made up and on the chapters."""

import json
from pathlib import Path
from typing import Any

import pytest

from relusparsity.book import captions
from relusparsity.errors import UserError

TABLE = {"data": {"text/html": ['<table class="dataframe">', "</table>"]}}
IMPORTS = "from relusparsity.experiments import costs\nfrom relusparsity import claims"


def notebook(folder: Path, *cells: str, **metadata: Any) -> Path:
    """A notebook of cells that each show a table, after one that imports."""
    made = [{"cell_type": "code", "source": [IMPORTS], "outputs": [], "metadata": {}}]
    made += [{"cell_type": "code", "source": [cell], "outputs": [TABLE], "metadata": metadata} for cell in cells]
    path = folder / "12_made_up.ipynb"
    path.write_text(json.dumps({"cells": [{"cell_type": "markdown", "source": ["*x*"]}, *made]}))
    return path


def test_name_and_title_follow_from_the_function_called(tmp_path: Path) -> None:
    made = notebook(tmp_path, "display(claims.x(y), costs.cost(done))", 'claims.verdicts(by["first"], "wide").head()')
    assert captions.of(made) == [
        captions.Caption(
            "costs-done", "Runs, their minutes in all, where they ran and by which commits: a row a dataset."
        ),
        captions.Caption(
            "verdicts-first",
            "What the ledger says of several recipes at one shape: a row per claim, a column per recipe.",
        ),
    ]


@pytest.mark.parametrize("metadata", [{"table": "A title"}, {"mystnb": {"code_prompt_show": "A title"}}])
def test_a_cell_may_say_the_title_itself(metadata: dict[str, Any], tmp_path: Path) -> None:
    made = notebook(tmp_path, "costs.cost(done)", "costs.cost(done, [0, 5])", **metadata)
    first, second = captions.of(made)
    assert (first.name, second.name, first.title) == ("costs-done", "costs-done-0-5", "A title")
    said = captions.above(captions.Caption("x", "a *b* < c."), "chapters/12_made_up", 2)
    assert said.startswith('<caption id="table-x"><a href="#table-x"')
    assert said.endswith(">Table 12.2</a> a <em>b</em> &lt; c.</caption>")


def test_a_table_that_no_function_makes_has_its_number(tmp_path: Path) -> None:
    first, second = captions.of(notebook(tmp_path, "costs.cost(done)", "(100 * frame).round(1)"))
    assert first.name == "costs-done" and second == captions.Caption("2", "")
    assert captions.above(second, "chapters/12_made_up", 2).endswith(">Table 12.2</a></caption>")


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (["costs.cost(done)", "costs.cost(done)"], "two tables of one name, costs-done: show each once"),
        (["costs.nothing(done)"], "relusparsity.experiments.costs has no function nothing"),
    ],
)
def test_a_table_without_name_or_title_is_refused(cells: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        captions.of(notebook(tmp_path, *cells))


def test_tables_of_every_chapter_have_titles_that_tell_them_apart(root: Path) -> None:
    chapters = sorted((root / "book/chapters").glob("*.ipynb"))
    assert chapters
    for chapter in chapters:
        found = captions.of(chapter)
        titles = {caption.title for caption in found}
        assert found and all(titles) and len(titles) == len(found), chapter.stem
