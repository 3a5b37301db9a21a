"""What a unit fires on, in words: its commonest token types, and its strongest tokens in context."""

from typing import Any

import numpy as np

from ..examples import MARK, choose, shown_text, shown_token
from .details import Detailed

BEFORE, AFTER, CHARACTERS, TYPES = 10, 5, 44, 5


def examples(values: dict[str, Any], use: Detailed, ids: np.ndarray, tokenizer: Any) -> dict[str, Any]:
    """Three units of every layer, of those whose token types were counted, with what they fire on; for a Dataset.

    The most selective, the median of selectivity, and the most clustered in sequences, as in chapter 04. None where
    no unit fires often enough.
    """
    selectivity = values["token_selectivity"][1][0]
    clustering = values["within_sequence_rate"][1][0] / values["within_sequence_rate_random"][1][0]
    strongest, at = (values[name][1][0] for name in ("strongest_activation", "strongest_token"))
    rows = []
    for layer in range(len(selectivity)):
        followed = use.units(selectivity.shape[1]).tolist()
        for rule, unit in choose(selectivity[layer], clustering[layer]):
            types = use.types[layer][:, followed.index(unit)].cpu().numpy()
            tokens = at[layer, :, unit]
            texts = [context(ids, int(token), tokenizer) if token >= 0 else "" for token in tokens]
            rows.append((layer, unit, rule, top_types(types, tokenizer), texts, strongest[layer, :, unit]))
    if not rows:
        return {}
    layers, units, rules, types_, texts_, strengths = zip(*rows, strict=True)
    one = ("example",)
    return {
        "example_layer": (one, list(layers)),
        "example_unit": (one, list(units)),
        "example_rule": (one, list(rules)),
        "example_types": (one, list(types_)),
        "example_text": (("example", "rank"), np.array(texts_)),
        "example_activation": (("example", "rank"), np.array(strengths)),
        "rank": (("rank",), np.arange(1, len(texts_[0]) + 1)),
    }


def top_types(counts: np.ndarray, tokenizer: Any) -> str:
    """The commonest token types among a unit's firings, (type) counts, each with its share of them."""
    best = np.argsort(-counts, kind="stable")[:TYPES]
    whole = counts.sum()
    return " | ".join(f"{shown_token(tokenizer, int(i))} {counts[i] / whole:.0%}" for i in best if counts[i])


def context(ids: np.ndarray, at: int, tokenizer: Any) -> str:
    """The text around a token of the sequences (sequence, position); what follows the mark the unit has not seen."""
    row, place = divmod(at, ids.shape[1])
    before, after = ids[row, max(0, place - BEFORE) : place], ids[row, place + 1 : place + 1 + AFTER]
    marked = MARK.format(_unlike_marks(shown_token(tokenizer, int(ids[row, place]))))
    left, right = shown_text(tokenizer, before)[-CHARACTERS:], shown_text(tokenizer, after)[: CHARACTERS // 2]
    return _unlike_marks(left) + marked + _unlike_marks(right)


def _unlike_marks(text: str) -> str:
    """The text with a space of no width beside every bracket, so that none is taken for a mark."""
    return text.replace("[", "\u200b[\u200b").replace("]", "\u200b]\u200b")
