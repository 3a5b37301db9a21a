"""Hover cards: what a link inside the book leads to, shown beside the link, and ways back from the references.

While pages are written, what their places say is gathered: glossary terms, sections, figures, citations, footnotes and
rows of the ledger. All of it goes into one script, ``_static/cards.js``, since a page that was opened from a file
cannot read another. ``hover.js`` shows it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.osutil import relative_uri

from .. import claims
from .furniture import description, shortened

Card = tuple[str, str]
"""What stands in bold, and the rest."""

NAME = "_static/cards.js"
LEDGER = "ledger"
"""The page of all claims."""
BEGIN = "window.bookCards = "
LONGEST = 360
"""Characters of a card at most."""
EVERYDAY = frozenset({"unit", "layer", "use", "empty", "full", "shape"})
"""Terms that are not linked by themselves: prose says them at every turn, or in another sense."""
LEFT = (nodes.reference, nodes.literal, nodes.title, nodes.math, nodes.caption, nodes.citation, nodes.literal_block)
"""Parts of a page in which no term is linked."""


def places(document: nodes.document) -> Iterator[tuple[str, Card]]:
    """What a page's places say, by their names; the page itself has the name ""."""
    title = document.next_node(nodes.title)
    yield "", (title.astext() if title is not None else "", description(document))
    for node in document.findall(nodes.Element):
        names = node.get("ids", [])
        if isinstance(node, nodes.raw):
            yield from rows(node.astext())
        elif isinstance(node, nodes.section) and node is not document[0]:
            paragraph = node.next_node(nodes.paragraph)
            card = (node.next_node(nodes.title).astext(), paragraph.astext() if paragraph is not None else "")
            yield from ((name, card) for name in names)
        elif isinstance(node, nodes.definition_list_item):
            terms = [part for part in node if isinstance(part, nodes.term)]
            card = (", ".join(term.astext() for term in terms), node[-1].astext())
            yield from ((name, card) for term in terms for name in term["ids"])
        elif isinstance(node, nodes.citation | nodes.footnote):
            yield from ((name, (node[0].astext(), " ".join(part.astext() for part in node[1:2]))) for name in names)
        elif isinstance(node, nodes.figure):
            caption = node.next_node(nodes.caption)
            yield from ((name, ("", caption.astext() if caption is not None else "")) for name in names)
        elif "anchor" in node:  # a live figure
            yield node["anchor"], ("", node.next_node(nodes.paragraph).astext())


def rows(html: str) -> Iterator[tuple[str, Card]]:
    """The ledger's rows by their names: claim and rule, and the verdicts."""
    if 'id="row-' not in html:
        return
    for row in BeautifulSoup(html, "html.parser").select("tr[id^=row-]"):
        cells = row.select("td")
        rule = cells[0].select_one(".rule")
        said = rule.get_text(" ") if rule is not None else ""
        claim = cells[0].contents[0].get_text() if cells[0].contents else ""
        verdicts = "; ".join(
            f"{div.contents[0].get_text().strip(': ')}: {chip.get_text()}"
            for div in cells[-1].select("div")
            if (chip := div.select_one(".chip")) is not None
        )
        number = row.select_one("th")
        heading = f"{number.get_text() if number is not None else ''} · {claim}"
        yield str(row["id"]), (heading, f"Rule: {said}. {verdicts}")


def permalinks(html: str, ledger: str = "") -> str:
    """A table of claims whose numbers lead to their rows: of the ledger, by its address from here, or of this table."""
    known = {row.number for row in (*claims.LEDGER, *claims.ADDED)}

    def linked(found: re.Match[str]) -> str:
        begin, number, end = found.groups()
        address = ledger if number in known else ""
        title = "its row in the ledger" if address else "link to this row"
        return f'{begin}<a href="{address}#row-{number}" title="{title}">{number}</a>{end}'

    return re.sub(r'(<tr id="row-\w+"><th scope="row">)(\w+)(</th>)', linked, html)


def gather(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Keep what a page says until all are written; called by Sphinx for each page that it writes."""
    if doctree is not None and app.builder.format == "html":
        # references say what they are by a role that no list may hold
        context["body"] = context["body"].replace(' role="list" class="citation-list"', ' class="citation-list"')
        kept = getattr(app, "_book_cards", {})
        address = app.builder.get_target_uri(page)
        kept[page] = {
            f"{address}#{name}" if name else address: [tidy(title), shortened(tidy(text), LONGEST)]
            for name, (title, text) in places(doctree)
        }
        app._book_cards = kept  # type: ignore[attr-defined]


def tidy(text: str) -> str:
    """Text in one line."""
    return " ".join(text.split())


def write(app: Sphinx, error: Exception | None) -> None:
    """Write the cards of all pages: those written now, and of the others what the last build wrote."""
    if error is not None or app.builder.format != "html":
        return
    path = Path(app.outdir, NAME)
    pages: dict[str, Any] = {}
    kept = path.with_suffix(".json")
    if kept.is_file():
        pages = {page: cards for page, cards in json.loads(kept.read_text()).items() if page in app.env.found_docs}
    pages |= getattr(app, "_book_cards", {})
    kept.write_text(json.dumps(pages, sort_keys=True))
    cards = {name: card for each in pages.values() for name, card in each.items() if any(card)}
    path.write_text(f"{BEGIN}{json.dumps(cards, ensure_ascii=False, sort_keys=True)};\n", encoding="utf-8")


def link(app: Sphinx, document: nodes.document, page: str) -> None:
    """Link a page's first use of each term, its claims' numbers, and from each reference the places that cite it."""
    if app.builder.format != "html":
        return
    elsewhere = page != LEDGER and LEDGER in app.env.found_docs
    address = app.builder.get_target_uri
    ledger = relative_uri(address(page), address(LEDGER)) if elsewhere else ""
    for raw in list(document.findall(nodes.raw)):
        if 'class="claims"' in raw.astext():
            raw.replace_self(nodes.raw("", permalinks(raw.astext(), ledger), **raw.attributes))
    terms(app, document, page)
    cited(app, document, page)


def terms(app: Sphinx, document: nodes.document, page: str) -> None:
    """Link the first use of each glossary term to its meaning."""
    known = {
        name: (where, label)
        for (kind, name), (where, label) in app.env.get_domain("std").data["objects"].items()
        if kind == "term" and where != page and name not in EVERYDAY
    }
    if not known:
        return
    for text in list(document.findall(nodes.Text)):
        if not known:
            return
        if inside(text, nodes.paragraph) and not inside(text, *LEFT):
            parts = linked(text.astext(), known, app.builder.get_target_uri, app.builder.get_target_uri(page))
            if len(parts) > 1:
                text.parent.replace(text, parts)


def linked(text: str, known: dict[str, tuple[str, str]], address: Any, here: str) -> list[nodes.Node]:
    """A text cut at the terms that it uses, which are taken out of `known`; one with a capital is meant as written."""
    parts: list[nodes.Node] = []
    while known:
        longest = sorted(known, key=len, reverse=True)
        names = "|".join(re.escape(name) if name[0].isupper() else f"(?i:{re.escape(name)})" for name in longest)
        found = re.search(rf"(?<![\w-])({names})s?(?![\w-])", text)
        if found is None:
            break
        where, label = known.pop(found[1] if found[1] in known else found[1].lower())
        target = f"{relative_uri(here, address(where))}#{label}"
        parts += [nodes.Text(text[: found.start()])] if found.start() else []
        parts.append(nodes.reference("", found[0], internal=True, refuri=target, classes=["term"]))
        text = text[found.end() :]
    return [*parts, nodes.Text(text)] if text or not parts else parts


def inside(node: nodes.Node, *kinds: type[nodes.Node]) -> bool:
    """Whether a node lies in one of a kind."""
    above = node.parent
    while above is not None:
        if isinstance(above, kinds):
            return True
        above = above.parent
    return False


def cited(app: Sphinx, document: nodes.document, page: str) -> None:
    """Below each reference, links to where other pages cite it: the way back."""
    domain: Any = app.env.domains.get("cite")
    if domain is None:
        return
    here = app.builder.get_target_uri(page)
    keys = {citation.citation_id: citation.key for citation in domain.citations}
    for node in document.findall(nodes.citation):
        key = next((keys[name] for name in node["ids"] if name in keys), None)
        places = [ref for ref in domain.citation_refs if key in {target.key for target in ref.targets}]
        said = nodes.paragraph("", "Cited in: ", classes=["cited-in"])
        done: set[str] = set()
        for ref in places:
            if ref.docname not in done and ref.docname != page:
                done.add(ref.docname)
                said += [nodes.Text(" · ")] if len(done) > 1 else []
                target = f"{relative_uri(here, app.builder.get_target_uri(ref.docname))}#{ref.citation_ref_id}"
                title = app.env.titles[ref.docname].astext()
                said += nodes.reference("", title, internal=True, refuri=target)
        if done:
            node += said


def again(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Pages of references are written again with any other, since others cite them; called by Sphinx."""
    domain: Any = env.domains.get("cite")
    return sorted({citation.bibliography_key.docname for citation in domain.citations}) if domain is not None else []


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.add_js_file("cards.js", loading_method="defer")
    app.add_js_file("hover.js", loading_method="defer")
    app.add_js_file("scrollable.js", loading_method="defer")
    app.connect("env-updated", again)
    app.connect("doctree-resolved", link)
    app.connect("html-page-context", gather)
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": False}
