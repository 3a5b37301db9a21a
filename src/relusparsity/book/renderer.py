"""Figures in the page: from one notebook output to a figure that works offline, in print and without JavaScript.

A figure arrives as one output with the JSON of its chart, a PNG, and the metadata ``{"relusparsity": {"name",
"function", "caption", "csv", "alt", "title", "model"}}``. Here Matplotlib draws the chart as SVG, which the page shows;
``figures.js`` puts the same drawing into the page and moves its marks. Drawings and data are files beside the page.
Under every figure stand its number, title, model and caption, and links to the notebook, the function, the data and the
picture. Its name stays, in its link and in its files.
"""

from __future__ import annotations

import ast
import html
import importlib.util
import json
import posixpath
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.osutil import relative_uri

from ..plots import page as pages
from ..plots import palette
from ..plots.written import MIME, PAGE, from_json
from . import drawers
from .equations import by_chapter

META = "relusparsity"
FIGURES = "_figures"  # folder of drawings and their data, among the pages
STATIC = Path(__file__).parent / "static"


class live_figure(nodes.General, nodes.Element):
    """A figure; attributes: ``chart`` (JSON), ``chapter``, ``name``, ``function``, ``csv``, ``alt``.

    Its children are its image and its caption.
    """


class LiveFigureRenderer:
    """The MyST-NB plug-in (entry point ``myst_nb.mime_renderers``)."""

    @staticmethod
    def handle_mime(renderer: Any, data: Any, inline: bool) -> list[nodes.Element] | None:
        """Turn the chart of an output into a node; other parts are not ours.

        See `begun` for what is refused.
        """
        if not inline and data.mime_type == PAGE:
            return [nodes.raw("", data.string, format="html")]  # which `KeepPicture` puts into its figure
        if inline or data.mime_type != MIME or META not in data.output_metadata:
            return None
        about, myst = data.output_metadata[META], renderer.renderer
        docname = myst.sphinx_env.docname
        node = begun(about, data.content, docname, posixpath.basename(docname), myst.sphinx_env.metadata[docname])
        with myst.current_node_context(node[-1]):
            myst.nested_render_text(about["caption"], data.line, inline=True)
        return [node]


def begun(about: dict[str, str], chart: Any, docname: str, chapter: str, kept: dict[str, Any]) -> live_figure:
    """The node of a figure of a chapter, with the begin of its caption, which may stand on another page.

    Parameters
    ----------
    about, chart
        What an output says of its figure, and the chart's JSON.
    docname, chapter
        The page on which it stands, and the name of the chapter that made it.
    kept
        What Sphinx keeps of the page; gets the names of its figures.

    Raises
    ------
    ValueError
        If the figure lacks its title, model, name or alternative text, or another of the page has its name.
    """
    check(about, docname)
    of_page = kept.setdefault(META, {"names": [], "modules": [], "chapters": []})
    if about["name"] in of_page["names"]:
        raise ValueError(
            f"{docname} has two figures with the name {about['name']}: give one a name of its own, "
            'figure.titled(…, name="…")'
        )
    of_page["names"].append(about["name"])
    of_page["modules"].append(module_of(about["function"]))
    of_page["chapters"].append(chapter)
    own = {key: about[key] for key in ("name", "function", "csv", "alt")}
    node = live_figure("", chart=drawers.chart(chart), chapter=chapter, **own)
    heading = nodes.strong("", f"{number(docname, len(of_page['names']))} {about['title']}. {about['model']}.")
    node += nodes.paragraph("", "", heading, nodes.Text(" "), classes=["live-figure-caption"])
    return node


def check(about: dict[str, str], docname: str) -> None:
    """Refuse a figure of which readers would not learn what it shows, of which model, or how to cite it."""
    for what in ("name", "title", "model", "alt"):
        if not about.get(what):
            raise ValueError(f"{docname}: the figure {about.get('name') or about['function']} has no {what}")
    if about["alt"] == about["caption"]:
        raise ValueError(f"{docname}: the figure {about['name']} has its caption for alternative text")


class KeepPicture(SphinxPostTransform):
    """Put the PNG inside its figure, or in its place where the output is not HTML."""

    default_priority = 3  # before MyST-NB keeps one format of each output

    def run(self, **_: Any) -> None:
        for node in list(self.document.findall(live_figure)):
            if isinstance(node[0], nodes.image):  # a page that shows another's figure gave the picture
                continue
            bundle = node.parent.parent
            pictures = [image for part in bundle if part["mime_type"] == "image/png" for image in part]
            if not pictures:
                raise ValueError(f"{self.env.docname}: the figure {node['name']} has no PNG twin")
            pictures[0]["alt"] = node["alt"]
            node["page"] = "".join(raw.astext() for part in bundle if part["mime_type"] == PAGE for raw in part)
            if self.app.builder.format == "html":
                node.insert(0, pictures[0])
                bundle.replace_self(node)
            else:
                text = nodes.paragraph("", "", *node[-1].children)
                bundle.replace_self([pictures[0], text])


def visit_live_figure(writer: Any, node: live_figure) -> None:
    """Open the figure: form, drawing and data; the PNG is for its link alone."""
    builder, name = writer.builder, node["name"]
    here, chapter = builder.get_target_uri(builder.current_docname), node["chapter"]
    picture = node["hidden"] = node.pop(0)  # until the figure is closed
    node["picture"] = posixpath.join(builder.imgpath, builder.images[picture["uri"]])
    if node.get("page"):
        writer.body.append(f'<figure class="walk" id="fig-{name}">\n{node["page"]}\n')
        return
    data = drawers.waited(node["chart"], builder.app)
    files = {f"{name}.js": pages.script(name, data)}
    files |= {f"{name}-{size}.svg": pages.alone(each["svg"]) for size, each in data["drawings"].items()}
    for file, text in files.items():
        write(Path(builder.outdir, FIGURES, chapter, file), text)
    at = {file: relative_uri(here, f"{FIGURES}/{chapter}/{file}") for file in files}
    chart = from_json(json.loads(node["chart"]))
    form, still = pages.form(chart, name), pages.picture(at[f"{name}-wide.svg"], at[f"{name}-narrow.svg"], node["alt"])
    # a slider stands under the axis that it moves along
    slider = chart.control is not None and chart.control.kind == "slider"
    shown = still + form if slider else form + still
    writer.body.append(
        f'<figure class="live-figure" id="fig-{name}" data-figure="{name}">\n{shown}\n'
        f'<script src="{at[f"{name}.js"]}" defer></script>\n'
    )


def depart_live_figure(writer: Any, node: live_figure) -> None:
    """Close the figure with its links; the data is written beside the pages."""
    node.insert(0, node["hidden"])  # the page's social card looks for it
    builder, docname, name = writer.builder, writer.builder.current_docname, node["name"]
    chapter = node["chapter"]
    data = f"_downloads/{chapter}/{name}.csv"
    write(Path(builder.outdir, data), node["csv"])
    module = module_of(node["function"])
    line = line_of(node["function"])
    here = builder.get_target_uri(docname)
    links = [
        (relative_uri(here, f"source/{chapter}.html"), "notebook", ""),
        (f"{relative_uri(here, f'source/{module}.html')}#line-{line}", f"<code>{node['function']}</code>", ""),
        (relative_uri(here, data), "data (CSV)", f'download="{name}.csv"'),
        (node["picture"], "figure (PNG)", f'download="{name}.png"'),
        (f"#fig-{name}", "link to this figure", ""),
    ]
    anchors = (f'<a href="{html.escape(target)}" {extra}>{text}</a>' for target, text, extra in links)
    writer.body.append(f'<p class="live-figure-links">{" · ".join(anchors)}</p>\n</figure>\n')


def write(file: Path, text: str) -> None:
    """Write a file among the pages, and the folders around it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def number(docname: str, position: int) -> str:
    """A figure's number by chapter: the second figure of ``chapters/03_neuron_death`` is Fig. 3.2."""
    return f"Fig. {by_chapter(docname, position)}"


def module_of(function: str) -> str:
    """``relusparsity.plots.layers.figure_1`` → ``relusparsity.plots.layers``."""
    return function.rpartition(".")[0]


def source_of(module: str) -> Path:
    """Find the file of a module without running it."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ValueError(f"a figure names the module {module}, which does not exist")
    return Path(spec.origin)


def line_of(function: str) -> int:
    """Find the line on which a function of the library begins."""
    tree = ast.parse(source_of(module_of(function)).read_text(encoding="utf-8"))
    wanted = function.rpartition(".")[2]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == wanted:
            return node.lineno
    raise ValueError(f"a figure names the function {function}, which does not exist")


def sources(app: Sphinx) -> dict[str, Path]:
    """Name → file of every notebook and module that a figure names."""
    files: dict[str, Path] = {}
    for about in app.env.metadata.values():
        if META in about:
            files |= {chapter: notebook_of(Path(app.srcdir), chapter) for chapter in about[META]["chapters"]}
            files |= {module: source_of(module) for module in about[META]["modules"]}
    return files


def begin_sources(app: Sphinx, env: Any) -> None:
    """Have the source of all figures coloured while the pages are written."""
    if app.builder.format == "html":
        for file in sources(app).values():
            drawers.OF[app].colour(file)


def source_pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Make one page of highlighted source for every notebook and module that a figure names.

    The book's contents beside them are the same on all, and making them takes longer than the rest of such a page.
    """
    contents = cache(partial(app.builder._get_local_toctree, "source/any"))  # type: ignore[attr-defined]
    for name, file in sorted(sources(app).items()):
        code = drawers.OF[app].colour(file).result()
        body = f"<h1>{html.escape(file.name if file.parent.name == 'notebooks' else name)}</h1>\n{code}"
        yield f"source/{name}", {"title": name, "body": body, "parents": [], "toctree": contents}, "page.html"


def notebook_of(book: Path, chapter: str) -> Path:
    """Find the percent script of a chapter, from the book or from a copy of it further down."""
    for folder in book.parents:
        if (folder / "notebooks" / f"{chapter}.py").is_file():
            return folder / "notebooks" / f"{chapter}.py"
    raise FileNotFoundError(f"the chapter {chapter} has no source notebooks/{chapter}.py")


def add_static(app: Sphinx) -> None:
    """Serve everything from the book itself: our style and scripts, and MathJax from its package."""
    mathjax = source_of("sphinx-mathjax-offline").parent / "static/mathjax/tex-svg-full.js"
    app.config.html_static_path += [str(STATIC), str(mathjax)]


def add_figures(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Load the script of figures on pages that have some."""
    if doctree is not None and META in app.env.metadata.get(page, {}):
        app.add_js_file("figures.js", loading_method="defer")
        if any(node.get("page") for node in doctree.findall(live_figure)):
            app.add_js_file("walk.js", loading_method="defer")


def write_colours(app: Sphinx, error: Exception | None) -> None:
    """Write the colours of figures where the pages look for them."""
    if error is None and app.builder.format == "html":
        write(Path(app.outdir, "_static", "figures.css"), palette.css())


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.add_node(live_figure, html=(visit_live_figure, depart_live_figure))
    app.add_post_transform(KeepPicture)
    app.add_css_file("book.css")
    app.add_css_file("figures.css")
    app.add_js_file("explorable.js", loading_method="defer")
    app.connect("builder-inited", add_static)
    app.connect("builder-inited", drawers.begin)
    app.connect("env-updated", begin_sources)
    app.connect("html-page-context", add_figures)
    app.connect("build-finished", write_colours)
    app.connect("build-finished", drawers.end)
    app.connect("html-collect-pages", source_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "env_version": 2}
