"""Live figures in the page: from one notebook output to a figure that works offline, in print and without JavaScript.

A figure arrives as one output with ``application/vnd.plotly.v1+json``, a PNG twin, and the metadata
``{"relusparsity": {"name", "function", "caption", "csv", "alt", "title", "model"}}``. MyST-NB would keep one of the two
formats. Here the JSON is written inert into the page, the PNG stays beside it, and ``live_figures.js`` draws over it
where it can. Under every figure stand its number, title, model and caption, and links to the notebook, the function,
the data and the picture. A figure with a title has a name that stays, in its link and files; copies of chapters that
were executed before there were titles have none, and are named by their place.
"""

from __future__ import annotations

import ast
import html
import importlib.util
import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.osutil import relative_uri

PLOTLY = "application/vnd.plotly.v1+json"
META = "relusparsity"
STATIC = Path(__file__).parent / "static"


class live_figure(nodes.General, nodes.Element):
    """A figure; attributes: ``json``, ``name``, ``anchor``, ``function``, ``csv``; children: image and caption."""


class LiveFigureRenderer:
    """The MyST-NB plug-in (entry point ``myst_nb.mime_renderers``)."""

    @staticmethod
    def handle_mime(renderer: Any, data: Any, inline: bool) -> list[nodes.Element] | None:
        """Turn the Plotly part of an output into a node; other parts are not ours."""
        if inline or data.mime_type != PLOTLY or META not in data.output_metadata:
            return None
        about = data.output_metadata[META]
        text = json.dumps(data.content, separators=(",", ":")).replace("<", "\\u003c")
        myst = renderer.renderer
        docname = myst.sphinx_env.docname
        page = myst.sphinx_env.metadata[docname].setdefault(META, {"names": [], "modules": []})
        again = page["names"].count(about["name"])  # a chapter may draw the same figure of two datasets
        titled = about.get("title", "")
        if titled and again:
            raise ValueError(
                f"{docname} has two figures with the name {about['name']}: give one a name of its own, "
                'figure.titled(…, name="…")'
            )
        page["names"].append(about["name"])
        page["modules"].append(module_of(about["function"]))
        name = f"{about['name']}-{again + 1}" if again else about["name"]
        anchor = f"fig-{name}" if titled else f"live-{name}"
        node = live_figure("", json=text, name=name, anchor=anchor, function=about["function"], csv=about["csv"])
        said = f" {titled}. {about['model']}." if titled else ""
        heading = nodes.strong("", number(docname, len(page["names"])) + said)
        caption = nodes.paragraph("", "", heading, nodes.Text(" "), classes=["live-figure-caption"])
        node += caption
        with myst.current_node_context(caption):
            myst.nested_render_text(about["caption"], data.line, inline=True)
        # copies executed before figures were described have their caption instead
        node["alt"] = about.get("alt") or "".join(part.astext() for part in caption[2:])
        return [node]


class KeepPicture(SphinxPostTransform):
    """Put the PNG inside its live figure, or in its place where the output is not HTML."""

    default_priority = 3  # before MyST-NB keeps one format of each output

    def run(self, **_: Any) -> None:
        for node in list(self.document.findall(live_figure)):
            bundle = node.parent.parent
            pictures = [image for part in bundle if part["mime_type"] == "image/png" for image in part]
            if not pictures:
                raise ValueError(f"{self.env.docname}: the figure {node['name']} has no PNG twin")
            pictures[0]["alt"] = node["alt"]
            if self.app.builder.format == "html":
                node.insert(0, pictures[0])
                bundle.replace_self(node)
            else:
                text = nodes.paragraph("", "", *node[-1].children)
                bundle.replace_self([pictures[0], text])


def visit_live_figure(writer: Any, node: live_figure) -> None:
    """Open the figure: the picture comes first and stays if nothing can be drawn."""
    writer.body.append(f'<figure class="live-figure" id="{html.escape(node["anchor"])}">\n')
    writer.body.append(f'<script type="application/json">{node["json"]}</script>\n')


def depart_live_figure(writer: Any, node: live_figure) -> None:
    """Close the figure with its links; the data is written beside the pages."""
    builder, page = writer.builder, writer.builder.current_docname
    chapter = posixpath.basename(page)
    data = f"_downloads/{chapter}/{node['name']}.csv"
    file = Path(builder.outdir, data)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(node["csv"], encoding="utf-8")
    picture = node[0]["uri"]  # by now the path from this page
    module = module_of(node["function"])
    line = line_of(node["function"])
    here = builder.get_target_uri(page)
    titled = node["anchor"].startswith("fig-")  # such a name stays, also where the chapter's number changes
    download = node["name"] if titled else f"{chapter}-{node['name']}"
    links = [
        (relative_uri(here, f"source/{chapter}.html"), "notebook", ""),
        (f"{relative_uri(here, f'source/{module}.html')}#line-{line}", f"<code>{node['function']}</code>", ""),
        (relative_uri(here, data), "data (CSV)", f'download="{download}.csv"'),
        (picture, "figure (PNG)", f'download="{download}.png"'),
    ]
    if titled:
        links.append((f"#{node['anchor']}", "link to this figure", ""))
    anchors = (f'<a href="{html.escape(target)}" {extra}>{text}</a>' for target, text, extra in links)
    writer.body.append(f'<p class="live-figure-links">{" · ".join(anchors)}</p>\n</figure>\n')


def number(docname: str, position: int) -> str:
    """A figure's number by chapter: the second figure of ``chapters/03_neuron_death`` is Fig. 3.2."""
    chapter = re.match(r"\d+", posixpath.basename(docname))
    return f"Fig. {int(chapter[0])}.{position}" if chapter else f"Fig. {position}"


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


def source_pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Make one page of highlighted source for every notebook and module that a figure names."""
    files: dict[str, Path] = {}
    for page, about in app.env.metadata.items():
        if META in about:
            chapter = posixpath.basename(page)
            files[chapter] = notebook_of(Path(app.srcdir), chapter)
            files |= {module: source_of(module) for module in about[META]["modules"]}
    for name, file in sorted(files.items()):
        code = app.builder.highlighter.highlight_block(  # type: ignore[attr-defined]
            file.read_text(encoding="utf-8"), "python", linenos="inline", lineanchors="line"
        )
        body = f"<h1>{html.escape(file.name if file.parent.name == 'notebooks' else name)}</h1>\n{code}"
        yield f"source/{name}", {"title": name, "body": body, "parents": []}, "page.html"


def notebook_of(book: Path, chapter: str) -> Path:
    """Find the percent script of a chapter, from the book or from a copy of it further down."""
    for folder in book.parents:
        if (folder / "notebooks" / f"{chapter}.py").is_file():
            return folder / "notebooks" / f"{chapter}.py"
    raise FileNotFoundError(f"the chapter {chapter} has no source notebooks/{chapter}.py")


def add_static(app: Sphinx) -> None:
    """Serve everything from the book itself: our style and script, Plotly and MathJax from their packages."""
    packages = {"plotly": "package_data/plotly.min.js", "sphinx-mathjax-offline": "static/mathjax/tex-svg-full.js"}
    files = [source_of(package).parent / path for package, path in packages.items()]
    app.config.html_static_path += [str(STATIC), *map(str, files)]


def add_scripts(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Load Plotly (5 MB) on pages with live figures only."""
    if doctree is not None and META in app.env.metadata.get(page, {}):
        for script in ("plotly.min.js", "live_figures.js"):
            app.add_js_file(script, loading_method="defer")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.add_node(live_figure, html=(visit_live_figure, depart_live_figure))
    app.add_post_transform(KeepPicture)
    app.add_css_file("book.css")
    app.add_js_file("explorable.js", loading_method="defer")
    app.connect("builder-inited", add_static)
    app.connect("html-page-context", add_scripts)
    app.connect("html-collect-pages", source_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "env_version": 1}
