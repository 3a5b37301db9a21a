"""Which units are worth showing as examples, and their tokens and text made fit to be read."""

import re

import numpy as np
from tokenizers import Tokenizer

RULES = ("most selective", "median selectivity", "most clustered")
MARK = "[[{}]]"


def choose(selectivity: np.ndarray, clustering: np.ndarray) -> list[tuple[str, int]]:
    """Rule and index of the units shown of one layer, from (unit) each; none where no unit has both measures."""
    known = np.flatnonzero(np.isfinite(selectivity) & np.isfinite(clustering))
    if not len(known):
        return []
    in_order = known[np.argsort(selectivity[known], kind="stable")]
    chosen = in_order[-1], in_order[(len(in_order) - 1) // 2], known[np.argmax(clustering[known])]
    return [(rule, int(unit)) for rule, unit in zip(RULES, chosen, strict=True)]


def shown_token(tokenizer: Tokenizer, token: int) -> str:
    """One token with its spaces made visible."""
    return _printable(tokenizer.decode([int(token)], skip_special_tokens=False)).replace(" ", "␣")


def shown_text(tokenizer: Tokenizer, tokens: np.ndarray) -> str:
    """A piece of text on one line; several spaces become one."""
    return re.sub(" +", " ", _printable(tokenizer.decode(tokens.tolist(), skip_special_tokens=False)))


def _printable(text: str) -> str:
    """Write line ends as ⏎ and what cannot be shown (half a character, say) as ·."""
    shown = text.replace("\n", "⏎").replace("\t", " ")
    return "".join(c if c.isprintable() and c != "\ufffd" else "·" for c in shown)
