"""What surrounds every page: description, social card, favicon, repository buttons, date, version and how to cite.

One setting decides what leads to the repository: `repository: url` in ``_config.yml``. Where it is empty no button
stands that leads nowhere, the launch button among them; a repository of GitHub also says where its pages are
published, which a social card needs, since it names its picture by a whole address.
"""

from __future__ import annotations

import json
import re
import subprocess
import textwrap
from collections.abc import Iterable
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.osutil import relative_uri

from ..store import results
from ..version import __version__
from . import social
from .moved import MOVED

STATIC = Path(__file__).parent / "static"
CITE = "<!-- cite: written by the build -->"
CLONE = "<!-- clone: written by the build -->"
LONGEST = 280
"""Characters of a description at most."""
HERO = Path("images/batch_use.png")
"""The picture of a page that has none of its own, in the book's folder."""


def settle(app: Sphinx, config: Config) -> None:
    """Turn the buttons on that the repository's address makes useful, and the others off; called by Sphinx."""
    options = config.html_theme_options
    url = options.get("repository_url") or ""
    options["use_repository_button"] = options["use_issues_button"] = bool(url)
    if not url:
        options["launch_buttons"] = {}
    config.html_baseurl = config.html_baseurl or published_at(url)
    config.html_favicon = str(STATIC / "favicon.svg")
    config.html_search_scorer = str(STATIC / "search_rank.js")


def published_at(repository: str) -> str:
    """Where GitHub publishes the pages of a repository; nothing for another address.

    Examples
    --------
    >>> published_at("https://github.com/someone/book")
    'https://someone.github.io/book/'
    >>> published_at("")
    ''
    """
    found = re.fullmatch(r"https://github\.com/([\w-]+)/([\w.-]+?)/?", repository)
    return f"https://{found[1].lower()}.github.io/{found[2]}/" if found else ""


def description(document: nodes.document) -> str:
    """What a page says, in at most `LONGEST` characters: the bold findings it begins with, or its first paragraph."""
    for node in document.findall(lambda n: isinstance(n, nodes.paragraph | nodes.bullet_list)):
        leads = isinstance(node, nodes.paragraph) and findings(after(node))  # to findings, which say more
        text = findings(node) if isinstance(node, nodes.bullet_list) else "" if leads else prose(node)
        if text:
            return shortened(text)
    return ""


def findings(node: nodes.Node | None) -> str:
    """The sentences in bold with which all items of a list begin; nothing for another node."""
    if not isinstance(node, nodes.bullet_list):
        return ""
    bold = [item.next_node(nodes.strong) for item in node]
    said = [prose(strong) for strong in bold if strong is not None]
    return " ".join(said) if len(said) == len(node) and all(text.endswith(".") for text in said) else ""


def after(node: nodes.Node) -> nodes.Node | None:
    """What follows a node, without comments."""
    following = node.next_node(descend=False, siblings=True)
    while isinstance(following, nodes.comment) or (
        isinstance(following, nodes.raw) and following.astext().startswith("<!--")
    ):
        following = following.next_node(descend=False, siblings=True)
    return following


def prose(node: nodes.Element) -> str:
    """The text of a node in one line, without citations, and without a word in bold that names what it is."""
    node = node.deepcopy()
    for part in list(node.findall(nodes.Element)):
        if "bibtex-citation" in part.get("classes", []) or part.get("refdomain") == "cite":
            part.parent.remove(part)
    first = next((part for part in node if part.astext().strip()), None)
    if isinstance(first, nodes.strong) and re.fullmatch(r"\w+\.", first.astext()):
        node.remove(first)
    return re.sub(r" (?=[,.;:])", "", " ".join(node.astext().split()))


def shortened(text: str, longest: int = LONGEST) -> str:
    """A text cut after a sentence where one ends in its second half, or else after a word.

    Examples
    --------
    >>> shortened("One two. Three four five", 12), shortened("One two three", 9)
    ('One two.', 'One two…')
    """
    if len(text) <= longest:
        return text
    kept = text[: longest - 1]
    sentence = max(kept.rfind(end) for end in (". ", "? ", "! "))
    return kept[: sentence + 1] if sentence >= longest / 2 else f"{kept.rpartition(' ')[0] or kept}…"


def add(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Give a page its head and foot; called by Sphinx."""
    if app.builder.format != "html":
        return
    here = app.builder.get_target_uri(page)
    root = app.builder.get_target_uri(app.config.root_doc)
    version = escape(__version__)
    context["theme_extra_footer"] = (
        f'<p>Version {version} · <a href="{relative_uri(here, root)}#cite-and-reuse">Cite and reuse</a> · '
        "CC BY 4.0 for prose, figures and data, Apache-2.0 for code</p>"
    )
    context["last_updated"] = updated(page)
    about = description(doctree) if doctree is not None else app.config.html_title
    titles = app.env.titles
    title = titles[page].astext() if page in titles else plain(context.get("title", "")) or app.config.html_title
    tags = {"og:type": "website", "og:title": title, "og:description": about, "og:site_name": app.config.html_title}
    base = app.config.html_baseurl
    if base:
        tags["og:url"] = base + here
    if doctree is not None:
        picture = hero(app, doctree)
        card = f"_images/card-{page.replace('/', '-')}.png"
        social.draw(Path(app.outdir, card), title, about, picture, app.config.html_title)
        tags |= {"og:image": base + card if base else relative_uri(here, card), "og:image:alt": f"{title}. {about}"}
        tags |= {"og:image:width": str(social.WIDTH), "og:image:height": str(social.HEIGHT)}
    kind = "summary_large_image" if doctree is not None else "summary"
    lines = [meta("name", "description", about), meta("name", "twitter:card", kind)]
    lines += [meta("property", name, value) for name, value in tags.items()]
    lines += filter(None, [leads_on(page)])
    context["metatags"] = context.get("metatags", "") + "\n" + "\n".join(lines)


def leads_on(page: str) -> str:
    """A script that leads from places that this page no longer has to where they are now; nothing for most pages.

    It runs before the page is drawn, and when a link on the page names such a place.
    """
    if page not in MOVED:
        return ""
    return (
        "<script>(moved => { const lead = () => { const place = moved[location.hash.slice(1)]; "
        'if (place) location.replace(place.replace("#", location.search + "#")); }; '
        f'lead(); addEventListener("hashchange", lead); }})({json.dumps(MOVED[page])})</script>'
    )


def meta(key: str, name: str, content: str) -> str:
    """One element of a page's head."""
    return f'<meta {key}="{name}" content="{escape(content)}" />'


def plain(title: str) -> str:
    """A title without its HTML."""
    return re.sub(r"<[^>]+>", "", title)


def hero(app: Sphinx, document: nodes.document) -> Path:
    """The file of a page's first PNG, or of the book's; by now pictures carry their address from this page."""
    files = {name: source for source, name in app.builder.images.items()}  # type: ignore[attr-defined]
    for image in document.findall(nodes.image):
        name = image["uri"].rpartition("/")[2]
        if name.endswith(".png") and name in files:
            return Path(app.srcdir, files[name])
    return Path(app.srcdir, HERO)


def updated(page: str) -> str:
    """The day of the last commit that changed a page; the release's day where git does not know."""
    root = results.checkout()
    days = commits(root) if root is not None else {}
    made_of = sources(page)
    known = [day for file, day in days.items() if file.startswith(made_of)] or list(days.values())
    return max(known) if known else str(citation()["date-released"])


def sources(page: str) -> tuple[str, ...]:
    """What a page is made of: its text or notebook; for pages of the library, its code."""
    name = page.rpartition("/")[2]
    if page.startswith("api/") or page == "packages":
        return f"book/{page}.", "src/"
    if page.startswith("source/"):
        return f"notebooks/{name}.", f"src/{name.replace('.', '/')}."
    return f"book/{page}.", f"notebooks/{name}."


@cache
def commits(root: Path) -> dict[str, str]:
    """File → day of the last commit that changed it, for what the book is made of; empty where there is no git."""
    command = ["git", "-C", str(root), "log", "--format=@%cs", "--name-only", "--", "book", "notebooks", "src"]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError:
        return {}
    return days_of(done.stdout.splitlines()) if done.returncode == 0 else {}


def days_of(lines: Iterable[str]) -> dict[str, str]:
    """What a log says, newest first, of each file's last day."""
    days: dict[str, str] = {}
    day = ""
    for line in lines:
        if line.startswith("@"):
            day = line[1:]
        elif line:
            days.setdefault(line, day)
    return days


def citation() -> dict[str, Any]:
    """What CITATION.cff says."""
    root = results.checkout()
    if root is None:
        raise FileNotFoundError("CITATION.cff lies in a clone of the repository, and the book is made in one")
    kept: dict[str, Any] = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    return kept


def bibtex(url: str) -> str:
    """CITATION.cff as an entry for BibTeX, with the repository's address where it is known."""
    cited = citation()
    names = " and ".join(f"{{{author['name']}}}" for author in cited["authors"])
    fields = {
        "author": names,
        "title": f"{{{cited['title']}}}",
        "year": str(cited["date-released"])[:4],
        "version": cited["version"],
        **({"url": url} if url else {}),
    }
    lines = (textwrap.fill(f"  {key} = {{{value}}},", 72, subsequent_indent="    ") for key, value in fields.items())
    return "\n".join(["@software{relusparsity,", *lines, "}"])


def clone(url: str) -> str:
    """How a reader comes to the folder in which the commands of the front page work."""
    if not url:
        return "In the folder of this repository, the one in which its `Makefile` lies:"
    name = url.rstrip("/").rpartition("/")[2].removesuffix(".git")
    return f"Get the repository once:\n\n```bash\ngit clone {url}\ncd {name}\n```\n\nThen, in its folder:"


def fill(app: Sphinx, page: str, source: list[str]) -> None:
    """Put the entry and the way to the repository in the places of their marks; Sphinx calls it with a page's text."""
    url = app.config.html_theme_options.get("repository_url") or ""
    source[0] = source[0].replace(CLONE, clone(url))
    if CITE in source[0]:
        source[0] = source[0].replace(CITE, f"```bibtex\n{bibtex(url)}\n```")
        app.env.note_dependency(str(Path(results.checkout() or "", "CITATION.cff")))


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.connect("config-inited", settle)
    app.connect("source-read", fill)
    app.connect("html-page-context", add)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
