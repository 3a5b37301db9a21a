"""What surrounds the pages and leaves the site: heads, cards, terms, notebooks, the zip, the print."""

import json
import re
import zipfile
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup
from docutils import nodes
from matplotlib.image import imread, imsave
from numpy import zeros
from pybtex.database import parse_string
from sphinx.application import Sphinx

from relusparsity import claims
from relusparsity.book import cards, furniture, offline, outside, printed, social
from relusparsity.errors import UserError
from relusparsity.version import __version__

INDEX = """# It depends on the recipe

A word first.

<!-- findings: written by make record -->

- **Layer 1 empties.** In 12 of 32.
- **Silent units can go.** Half of them.

<!-- /findings -->

```{toctree}
one
glossary
```
"""
ONE = """# One about batch use

**Question.** Does batch use fall, and `batch use` in code? Batch use again, of a unit.

## After training

Yes, it does.
"""
GLOSSARY = """# Glossary

```{glossary}
batch use
  The share that fires in 8,192 tokens.

unit
layer
  A hidden unit.
```
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A book of three pages, published at an address."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "book/images").mkdir(parents=True)
    for name, text in (("index", INDEX), ("one", ONE), ("glossary", GLOSSARY)):
        (folder / f"book/{name}.md").write_text(text)
    imsave(folder / "book" / furniture.HERO, zeros((4, 6)))
    settings = {
        "source_suffix": {".md": "markdown"},  # another test's book may have changed the default
        "extensions": ["myst_parser", "relusparsity.book.furniture", "relusparsity.book.cards"],
        "html_title": "The book",
        "html_theme_options": {},
        "html_baseurl": "https://example.org/",
        "html_static_path": [str(furniture.STATIC)],
    }
    app = Sphinx(folder / "book", None, folder / "html", folder / "trees", "html", settings, status=None, warning=None)
    app.build()
    return folder / "html"


def head(page: Path) -> dict[str, str]:
    tree = BeautifulSoup(page.read_text(), "html.parser")
    return {tag.get("name") or tag.get("property"): tag["content"] for tag in tree.select("meta[content]")}


def test_a_page_says_what_it_found_and_has_a_card_of_that_size(site: Path) -> None:
    said = head(site / "index.html")
    assert said["description"] == said["og:description"] == "Layer 1 empties. Silent units can go."
    assert said["og:title"] == "It depends on the recipe"
    assert said["og:url"] == "https://example.org/index.html"
    assert said["og:image"].startswith("https://example.org/_images/card-")
    assert imread(site / said["og:image"].removeprefix("https://example.org/")).shape[:2] == (630, 1200)
    assert head(site / "one.html")["description"].startswith("Does batch use fall,"), "without the word in bold"


def test_a_long_title_stays_on_its_card(tmp_path: Path) -> None:
    imsave(tmp_path / "picture.png", zeros((4, 6, 3)))
    for title in ("Which layer of a ReLU Transformer empties? It depends on the recipe", "W" * 30 + " " + "M" * 40):
        social.draw(tmp_path / "card.png", title, "What it says.", tmp_path / "picture.png", "The book")
        card = imread(tmp_path / "card.png")[20:, :, :3]
        assert (card[:, -40:] == 1).all() and (card[:150] < 0.5).any(), title


def test_the_first_use_of_a_term_is_a_link_with_a_card(site: Path) -> None:
    tree = BeautifulSoup((site / "one.html").read_text(), "html.parser")
    (link,) = tree.select("a.term")
    assert (link.get_text(), link["href"]) == ("batch use", "glossary.html#term-batch-use")
    said = json.loads((site / cards.NAME).read_text().removeprefix(cards.BEGIN).rstrip(";\n"))
    assert said["glossary.html#term-batch-use"] == ["batch use", "The share that fires in 8,192 tokens."]
    assert said["glossary.html#term-layer"][0] == "unit, layer"
    assert said["one.html#after-training"] == ["After training", "Yes, it does."]
    assert (site / "_static/hover.js").is_file()


def test_every_row_of_the_ledger_has_a_card_and_a_link_to_itself() -> None:
    table = claims.table(claims.evaluate({}, rows=claims.ADDED))._repr_html_()
    numbers = re.findall(r'<tr id="row-(\w+)"', table)
    said = dict(cards.rows(table))
    assert numbers and list(said) == [f"row-{number}" for number in numbers]
    assert all("Rule: " in text and heading.partition(" · ")[2] for heading, text in said.values())
    links = BeautifulSoup(cards.permalinks(table), "html.parser").select("th > a")
    assert [link["href"] for link in links] == [f"#row-{number}" for number in numbers]
    own = table.replace(f"row-{numbers[0]}", "row-own").replace(f">{numbers[0]}</th>", ">own</th>")
    links = BeautifulSoup(cards.permalinks(own, "../ledger.html"), "html.parser").select("th > a")
    assert [link["href"] for link in links[:2]] == ["#row-own", f"../ledger.html#row-{numbers[1]}"]


@pytest.mark.parametrize(
    ("url", "base"),
    [("", ""), ("https://github.com/One/book", "https://one.github.io/book/"), ("https://git.example/x", "")],
)
def test_one_setting_decides_about_every_button(url: str, base: str) -> None:
    options = {"repository_url": url, "launch_buttons": {"binderhub_url": "https://hub.example"}}
    config = SimpleNamespace(html_theme_options=options, html_baseurl="")
    furniture.settle(None, config)  # type: ignore[arg-type]
    assert options["use_repository_button"] is options["use_issues_button"] is bool(url)
    assert bool(options["launch_buttons"]) is bool(url) and config.html_baseurl == base


def test_a_day_is_that_of_the_newest_commit_of_what_a_page_is_made_of(monkeypatch: pytest.MonkeyPatch) -> None:
    log = ["@2026-03-02", "", "book/index.md", "@2026-03-01", "", "book/index.md", "notebooks/01_a.py"]
    days = furniture.days_of(log)
    assert days == {"book/index.md": "2026-03-02", "notebooks/01_a.py": "2026-03-01"}
    monkeypatch.setattr(furniture, "commits", lambda root: days)
    assert [furniture.updated(page) for page in ("index", "chapters/01_a", "search")] == [
        "2026-03-02",
        "2026-03-01",
        "2026-03-02",
    ]
    monkeypatch.setattr(furniture, "commits", lambda root: {})
    assert furniture.updated("index") == str(furniture.citation()["date-released"])


def test_the_entry_for_bibtex_is_read_by_others() -> None:
    entry = parse_string(furniture.bibtex("https://example.org/x"), "bibtex").entries["relusparsity"]
    cited = furniture.citation()
    assert entry.fields["version"] == cited["version"] == __version__
    assert (
        " ".join(entry.fields["title"].strip("{}").split()) == cited["title"]
        and entry.fields["url"] == "https://example.org/x"
    )
    assert "url" not in furniture.bibtex("")
    assert max(map(len, furniture.bibtex("").splitlines())) <= 72, "it fits the page"


def test_a_reader_is_told_where_the_commands_work() -> None:
    """With an address, what it says can be typed; without one, no command and no link is there."""
    said = furniture.clone("https://github.com/one/book.git/")
    assert "git clone https://github.com/one/book.git/\ncd book\n" in said
    assert "clone" not in furniture.clone("") and "`Makefile`" in furniture.clone("")


def test_a_term_with_a_capital_is_meant_as_written_and_any_in_the_plural(root: Path) -> None:
    def links(text: str) -> list[str]:
        known = {name: ("glossary", f"term-{name}") for name in ("Wide", "recipe", "fresh seed")}
        parts = cards.linked(text, known, lambda page: f"{page}.html", "index.html")
        assert "".join(part.astext() for part in parts) == text
        return [f"{part.astext()}: {part['refuri']}" for part in parts if isinstance(part, nodes.reference)]

    assert links("A wide page. Wide has Recipes, and a recipe.") == [
        "Wide: glossary.html#term-Wide",
        "Recipes: glossary.html#term-recipe",
    ]
    assert links("Three fresh seeds, mid-wide.") == ["fresh seeds: glossary.html#term-fresh seed"]


def test_a_downloaded_notebook_says_first_how_to_run_it(root: Path, tmp_path: Path) -> None:
    source = next((root / "book" / "chapters").glob("*.ipynb"))
    copy = tmp_path / source.name
    copy.write_text(source.read_text())
    for _ in range(2):  # a second build finds it there
        outside.with_first_cell(copy)
    first, *rest = nbformat.read(copy, as_version=4).cells
    nbformat.validate(nbformat.read(copy, as_version=4))
    assert f"pip install ./{outside.WHEEL}" in first.source and copy.name in first.source
    assert [cell.source for cell in rest] == [cell.source for cell in nbformat.read(source, as_version=4).cells]


def test_the_same_pages_make_the_same_zip(tmp_path: Path) -> None:
    (tmp_path / "html/_static").mkdir(parents=True)
    (tmp_path / "html/index.html").write_text("<h1>Book</h1>")
    (tmp_path / "html/_static/a.png").write_bytes(b"picture")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        offline.pack(tmp_path / "html", tmp_path / name / "book.zip")
    assert (tmp_path / "a/book.zip").read_bytes() == (tmp_path / "b/book.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a/book.zip") as packed:
        assert packed.namelist() == ["book/_static/a.png", "book/index.html"] and packed.testzip() is None


def test_pages_in_one_keep_their_places_apart(tmp_path: Path) -> None:
    page = '<nav class="bd-links"><a href="x/a.html">1 · A</a></nav>'
    page += '<article class="bd-article"><h1 id="top">{}</h1>{}</article>'
    (tmp_path / "x").mkdir()
    (tmp_path / "index.html").write_text(page.format("Book", '<a href="x/a.html#top">a</a><a href="data.csv">d</a>'))
    (tmp_path / "x/a.html").write_text(page.format("A", '<img src="../i.png"><script>1</script><a href="#top">t</a>'))
    names = printed.order(tmp_path)
    assert names == {"index.html": "", "x/a.html": "1 · A"}
    tree = BeautifulSoup(printed.whole(tmp_path, names, {"x/a.html": 7}), "html.parser")
    ids = [tag["id"] for tag in tree.select("[id]")]
    assert len(set(ids)) == len(ids)
    assert {link["href"].removeprefix("#") for link in tree.select("a[href]")} <= set(ids), "one to a file is text"
    assert tree.select_one(".number").get_text() == "7" and tree.img["src"] == "i.png"
    (tmp_path / "x/a.html").write_text("<p>moved</p>")
    with pytest.raises(UserError, match=r"a\.html is no page of the book"):
        printed.whole(tmp_path, names, {})


def test_the_workflow_names_jobs_and_verbs_that_exist(root: Path) -> None:
    flow = yaml.safe_load((root / ".github/workflows/book.yml").read_text())
    jobs = flow["jobs"]
    assert set(jobs["publish"]["needs"]) <= set(jobs)
    runs = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    verbs = {verb for run in runs if run.startswith("make ") for verb in run.split()[1:]}
    assert {"zip", "pdf"} <= verbs <= set(re.findall(r"^([a-z]+):", (root / "Makefile").read_text(), re.MULTILINE))
    assert all((root / run.split()[1]).is_file() for run in runs if run.startswith("bash "))


def test_a_place_that_moved_to_another_chapter_is_there(root: Path) -> None:
    """Every heading and figure that it leads to is in the notebook, and no old one is left where it was."""
    for page, places in furniture.MOVED.items():
        here = root / "book" / f"{page}.ipynb"
        assert not set(places) & places_of(here), "it would be led away from here"
        for target in places.values():
            there, _, place = target.partition("#")
            assert place in places_of(here.with_name(there).with_suffix(".ipynb")) | {"explorable"}, target
    assert furniture.leads_on("ledger") == ""


def places_of(chapter: Path) -> set[str]:
    """Names of a chapter's headings and figures, as its page has them."""
    cells = json.loads(chapter.read_text())["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    slugs = {"-".join(re.findall(r"[\w]+", heading.lower())) for heading in headings}
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return slugs | {
        f"fig-{o['metadata']['relusparsity']['name']}" for o in outputs if "relusparsity" in o.get("metadata", {})
    }
