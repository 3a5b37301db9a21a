"""The stored sentences of chapter 19: their tokens, what a head gives each of them, and how that is packed and said."""

from base64 import b64encode

import numpy as np
import xarray as xr

from ....plots.reading import variable

NAMED = 3
"""Tokens that are named of those that a query looks at."""


class Sentences:
    """Sentences and the attention of all heads on them.

    Parameters
    ----------
    dataset : Dataset
        `sentence_tokens` (sentence, position), with a ␣ for every blank, "" behind a sentence's end;
        `sentence_attention` (sentence, layer, head, query, key), of 255 parts. The labels of `sentence` say what each
        shows.
    function
        Name of the figure, for what is said if a variable is missing.

    Raises
    ------
    UserError
        If a variable is missing or has other dimensions.
    """

    def __init__(self, dataset: xr.Dataset, function: str) -> None:
        dims = [dim for dim in dataset.sizes if dim not in dataset.coords]
        numbered = dataset.assign_coords({dim: range(dataset.sizes[dim]) for dim in dims})
        words = variable(numbered, function, "sentence_tokens", "sentence", "position")
        self.names = [str(name) for name in words["sentence"].values]
        self.tokens = [[shown(str(word)) for word in row if str(word)] for row in words.values]
        of = variable(numbered, function, "sentence_attention", "sentence", "layer", "head", "query", "key")
        self.attention: np.ndarray = of.values.astype(np.uint8)

    def packed(self) -> list[str]:
        """Attention of each sentence in base64: layer by layer, head by head, of every query the keys up to itself."""
        out = []
        for sentence, tokens in enumerate(self.tokens):
            rows, columns = np.tril_indices(len(tokens))
            out.append(b64encode(self.attention[sentence][:, :, rows, columns].tobytes()).decode())
        return out

    def given(self, sentence: int, layer: int, head: int, query: int) -> np.ndarray:
        """What a query gives each token up to itself, of 255 parts: (key)."""
        return self.attention[sentence, layer, head, query, : query + 1]

    def telling(self, sentence: int, layer: int, head: int) -> int:
        """The query that gives most to a token which is not the first, nor the one before it, nor itself."""
        most = [
            int(self.given(sentence, layer, head, q)[1 : max(q - 1, 1)].max(initial=0)) for q in self.queries(sentence)
        ]
        return int(np.argmax(most)) if max(most) else len(most) - 1

    def queries(self, sentence: int) -> range:
        """Places of a sentence's tokens."""
        return range(len(self.tokens[sentence]))

    def clearest(self, layer: int, head: int) -> int:
        """The sentence in which a head's telling query gives most."""

        def most(sentence: int) -> int:
            query = self.telling(sentence, layer, head)
            return int(self.given(sentence, layer, head, query)[1 : max(query - 1, 1)].max(initial=0))

        return max(range(len(self.tokens)), key=most)

    def said(self, sentence: int, layer: int, head: int, query: int) -> str:
        """Where a query looks: the tokens that it gives most, in words."""
        given, tokens = self.given(sentence, layer, head, query), self.tokens[sentence]
        order = sorted(range(len(given)), key=lambda key: (-int(given[key]), key))
        told = [
            f"“{tokens[key].strip()}” ({key}) {percent(given[key])} %" for key in order[:NAMED] if percent(given[key])
        ]
        return f"From “{tokens[query].strip()}” ({query}) to {', '.join(told)}." if told else "Nothing to tell."


def percent(part: int) -> int:
    """Parts of 255 as percent.

    >>> percent(255), percent(1), percent(2)
    (100, 0, 1)
    """
    return int(100 * int(part) / 255 + 0.5)


def shown(token: str) -> str:
    """A token as it stands in a text, but seen though it is blank.

    >>> shown("␣the"), shown("⏎"), shown("␣␣")
    (' the', '⏎', '␣␣')
    """
    return token.replace("␣", " ") if token.strip("␣") else token
