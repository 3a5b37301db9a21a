"""The committed book is the sources, executed; nbval really compares it; it builds without a warning or a dead link."""

import json
import re
import subprocess
from pathlib import Path
from urllib.parse import unquote, urlsplit

import jupytext
import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat import NotebookNode

from relusparsity.book import build, renderer, rests
from relusparsity.plots.written import MIME

ROOT = Path(__file__).parents[1]
CHAPTERS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.py"))
NOT_COMPARED = {"image/png", "image/jpeg", "application/vnd.jupyter.widget-view+json"}  # by nbval 0.11


def executed(chapter: str) -> NotebookNode:
    return nbformat.read(ROOT / "book" / "chapters" / f"{chapter}.ipynb", as_version=4)


def compared(cell: NotebookNode) -> bool:
    """Whether nbval checks any part of a cell's output."""
    if {"nbval-ignore-output", "nbval-skip", "raises-exception"} & set(cell.metadata.get("tags", [])):
        return False
    kinds = {kind for output in cell.outputs for kind in output.get("data", {output.output_type: None})}
    return bool(kinds - NOT_COMPARED)


def test_every_chapter_is_in_the_book() -> None:
    assert CHAPTERS
    assert sorted(path.stem for path in (ROOT / "book" / "chapters").glob("*.ipynb")) == CHAPTERS
    listed = re.findall(r"chapters/(\w+)", (ROOT / "_toc.yml").read_text())
    assert listed == CHAPTERS, "each once, in order"


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_executed_copy_has_a_line_a_cell(chapter: str) -> None:
    text = (ROOT / "book" / "chapters" / f"{chapter}.ipynb").read_text(encoding="utf-8")
    assert build.cell_by_cell(json.loads(text)) == text
    assert text.count("\n") < len(json.loads(text)["cells"]) + 8


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_executed_copy_has_the_cells_of_its_source(chapter: str) -> None:
    source = jupytext.read(ROOT / "notebooks" / f"{chapter}.py")

    def cells(notebook: NotebookNode) -> list[tuple[str, str, list[str]]]:
        return [(cell.cell_type, cell.source, cell.metadata.get("tags", [])) for cell in notebook.cells]

    assert cells(executed(chapter)) == cells(source)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_code_cell_was_executed_in_order(chapter: str) -> None:
    code = [cell for cell in executed(chapter).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert [output for cell in code for output in cell.outputs if output.output_type == "error"] == []


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_no_line_of_the_text_is_a_comment(chapter: str) -> None:
    """MyST takes a line that begins with a percent sign for a comment and leaves it out of the page."""
    lines = [
        line for cell in executed(chapter).cells if cell.cell_type == "markdown" for line in cell.source.splitlines()
    ]
    assert [line for line in lines if line.lstrip().startswith("%")] == []


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_holds_no_logic(chapter: str) -> None:
    for cell in executed(chapter).cells:
        if cell.cell_type == "code" and "parameters" not in cell.metadata.get("tags", []):
            lines = [line for line in cell.source.splitlines() if line.strip() and not line.lstrip().startswith("#")]
            assert len(lines) <= 5, cell.source


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_no_table_in_the_open_is_long(chapter: str) -> None:
    for cell in executed(chapter).cells:
        if {"hide-output", "hide-cell", "remove-output", "remove-cell"} & set(cell.metadata.get("tags", [])):
            continue
        for output in cell.get("outputs", []):
            page = BeautifulSoup("".join(output.get("data", {}).get("text/html", "")), "html.parser")
            longest = max((len(table.select("tbody tr")) for table in page.select("table.dataframe")), default=0)
            assert longest <= 15, (
                f"a table of {longest} rows stands open in chapter {chapter}; 15 are read, more belong in a fold "
                f'(tag "hide-output"): {cell.source}'
            )


def test_at_least_70_percent_of_the_outputs_are_compared() -> None:
    with_output = [
        (chapter, cell)
        for chapter in CHAPTERS
        for cell in executed(chapter).cells
        if cell.cell_type == "code" and cell.outputs
    ]
    left_out = [f"{chapter}: {cell.source.splitlines()[0]}" for chapter, cell in with_output if not compared(cell)]
    assert len(left_out) <= 0.3 * len(with_output), left_out


def test_counting_what_is_compared() -> None:
    picture = nbformat.v4.new_output("display_data", {"image/png": "…"})
    text = nbformat.v4.new_output("stream", name="stdout", text="13.3")
    figure = nbformat.v4.new_output("display_data", {"image/png": "…", MIME: {}})
    assert [compared(nbformat.v4.new_code_cell(outputs=[each])) for each in (picture, text, figure)] == [
        False,
        True,
        True,
    ]
    ignored = nbformat.v4.new_code_cell(outputs=[text], metadata={"tags": ["nbval-ignore-output"]})
    assert not compared(ignored)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_what_a_cell_writes_links_to_pages(chapter: str) -> None:
    """Only in a text of its own does MyST turn a link to a notebook into one to its page."""
    outputs = [output for cell in executed(chapter).cells for output in cell.get("outputs", [])]
    written = ["".join(each.get("data", {}).get("text/markdown", "")) for each in outputs]
    assert [text for text in written if ".ipynb)" in text] == [], "link to the page: .html"


@pytest.mark.slow
def test_no_link_inside_the_book_is_dead(pages: Path) -> None:
    ours = [page for page in pages.rglob("*.html") if "_static" not in page.parts]
    trees = {page: BeautifulSoup(page.read_text(), "html.parser") for page in ours}
    names = {
        page: {tag[key] for tag in tree.find_all(True) for key in ("id", "name") if tag.get(key)}
        for page, tree in trees.items()
    }
    dead = []
    for page, tree in trees.items():
        for tag in tree.find_all(["a", "img", "script", "link"]):
            target = urlsplit(tag.get("href") or tag.get("src") or "")
            if target.scheme or target.netloc:
                continue
            file = (page.parent / unquote(target.path)).resolve() if target.path else page
            known = file.is_file() and (
                not target.fragment or file not in names or unquote(target.fragment) in names[file]
            )
            if not known and target.geturl() not in ("", "#"):
                dead.append(f"{page.relative_to(pages)} → {target.geturl()}")
    assert dead == []


@pytest.mark.slow
def test_the_script_of_figures_is_loaded_by_pages_with_figures_only(pages: Path) -> None:
    for page in pages.rglob("*.html"):
        text = page.read_text()
        assert ('class="live-figure"' in text) == ("_static/figures.js" in text), page


@pytest.mark.slow
def test_the_data_of_a_figure_lies_beside_the_page(pages: Path) -> None:
    links = [
        (page, link["href"])
        for page in pages.glob("chapters/*.html")
        for link in BeautifulSoup(page.read_text(), "html.parser").select(".live-figure-links a[download$=csv]")
    ]
    assert links
    for page, link in links:
        head, *lines = (page.parent / link).read_text().splitlines()
        header, *rows = (line for line in lines if not line.startswith("# "))
        assert "," in header and rows, link
        assert head.startswith("# ") and lines[0].startswith("# "), f"{link} does not say what it is of"


@pytest.mark.slow
def test_the_figure_that_the_front_page_borrows_has_drawing_data_and_links_of_its_chapter(pages: Path) -> None:
    figure = BeautifulSoup((pages / "index.html").read_text(), "html.parser").select_one("figure.live-figure")
    assert figure is not None
    for link in figure.select("[src], [srcset], a[href]"):
        target = (link.get("src") or link.get("srcset") or link.get("href")).partition("#")[0]
        assert not target or (pages / target).is_file(), target
    script = figure.select_one("script")["src"]
    assert script.startswith("_figures/02_layer_patterns/") and figure.select_one("input[type=range]") is not None


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_figure_says_what_it_shows_of_which_model(chapter: str) -> None:
    outputs = [output for cell in executed(chapter).cells for output in cell.get("outputs", [])]
    figures = [output.metadata["relusparsity"] for output in outputs if MIME in output.get("data", {})]
    assert figures and not any("plotly" in kind for output in outputs for kind in output.get("data", {}))
    for about in figures:
        renderer.check(about, chapter)  # raises with a sentence
        word = re.search("slider|button|press", about["caption"], re.IGNORECASE)
        assert not word, f"{about['name']}: without scripts there is no such thing"
    names = [about["name"] for about in figures]
    assert len(set(names)) == len(names)


def test_the_api_pages_show_every_module_that_the_readme_names() -> None:
    pages = [page.read_text() for page in sorted((ROOT / "book" / "api").glob("*.md"))]
    shown = [name for page in pages for name in re.findall(r"^\.\. automodule:: relusparsity\.([\w.]+)$", page, re.M)]
    assert len(set(shown)) == len(shown)
    assert all(renderer.source_of(f"relusparsity.{name}").is_file() for name in shown)  # raises where there is none
    rows = [line.split("|")[1] for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert {"anymodel", "train", "plots"} <= named <= {name.partition(".")[0] for name in shown}


def test_a_figure_names_code_that_exists() -> None:
    line = renderer.line_of("relusparsity.book.renderer.line_of")
    assert Path(renderer.__file__).read_text().splitlines()[line - 1].startswith("def line_of(")
    with pytest.raises(ValueError, match="no_such, which does not exist"):
        renderer.line_of("relusparsity.book.renderer.no_such")


NOTEBOOK = """# %%
scale = "laptop"
from pathlib import Path
for name in {waits}:
    assert Path(name).is_file()
print("{said}")
"""


def test_chapters_are_run_once_and_a_failing_one_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for folder in ("notebooks", "src", "data", "out"):
        (tmp_path / folder).mkdir()
    (tmp_path / "requirements.txt").touch()
    first, second = (tmp_path / "notebooks" / f"0{n}_chapter.py" for n in (1, 2))
    first.write_text(NOTEBOOK.format(waits=[], said="one"))
    second.write_text(NOTEBOOK.format(waits=["no_such_file"], said="two"))
    with pytest.raises(subprocess.CalledProcessError):
        build.execute(tmp_path, "laptop", tmp_path / "out", rests.notebooks(tmp_path))
    assert "AssertionError" in capfd.readouterr().err
    assert not (tmp_path / "out" / "02_chapter.inputs").exists()
    second.write_text(NOTEBOOK.format(waits=[], said="two"))
    build.execute(tmp_path, "laptop", tmp_path / "out", rests.notebooks(tmp_path))
    assert nbformat.read(tmp_path / "out" / "02_chapter.ipynb", 4).cells[0].outputs[0].text == "two\n"
    before = (tmp_path / "out" / "01_chapter.ipynb").stat().st_mtime_ns
    build.execute(tmp_path, "laptop", tmp_path / "out", rests.notebooks(tmp_path))
    assert capfd.readouterr().out.count("unchanged") >= 2
    assert (tmp_path / "out" / "01_chapter.ipynb").stat().st_mtime_ns == before
