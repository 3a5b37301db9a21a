"""A dataset of chapter 19's form, made up: heads of every function, one of two, and what is left without some."""

import numpy as np
import xarray as xr

LAYERS, HEADS, DRAWS = 30, 9, 5
BEST = (18, 6)
"""Layer and head of the highest induction score, which looks at the first token as well."""
SENTENCES = {
    "a name": ["Mr", "␣Dur", "sley", "␣said", "␣that", "␣it", "␣was", ",", "␣Mr", "␣Dur", "sley", "."],
    "a list & more": ["One", ",", "␣two", ",", "⏎", "␣␣", "␣and", "␣<four>", "␣&", "␣five", "."],
}
READINGS = ["text", "shuffled", "random weights"]
EVALUATIONS = ["none", "top", *(f"random {n}" for n in range(20))]
BY_HEAD = ("reading", "layer", "head")


def heads(seed: int = 0) -> xr.Dataset:
    """As the recorded dataset of chapter 19; nothing in it was measured."""
    rng = np.random.default_rng(seed)

    def few(at: list[tuple[int, int]], value: float, ground: float = 0.05) -> np.ndarray:
        drawn = rng.random((LAYERS, HEADS)) * ground
        for layer, head in at:
            drawn[layer, head] = value
        return drawn

    looks = {
        "attention_first": [few([(n, 0) for n in range(LAYERS)] + [BEST], 0.41)] * 2 + [few([], 0.0, 0.02)],
        "attention_previous": [few([(2, 1), (3, 1)], 0.9), few([], 0.0), few([], 0.0)],
        "attention_same": [few([(1, 1)], 0.5)] * 3,
        "attention_delimiter": [few([(5, 5)], 0.6), few([(5, 5)], 0.5), few([], 0.0)],
        "attention_entropy": [4 * few([], 0.0, 1.0)] * 3,
        "attention_distance": [80 * few([], 0.0, 1.0)] * 3,
        "sink_rate": [few([(n, 0) for n in range(LAYERS)], 0.9)] * 3,
    }
    data = xr.Dataset({name: (BY_HEAD, np.stack(each).astype(np.float32)) for name, each in looks.items()})
    induction = [few([BEST], 0.83), few([], 0.0)]
    spread = np.stack([[each + rng.normal(0, 1e-3, each.shape) for _ in range(DRAWS)] for each in induction])
    data["prefix_matching"] = ("weights", "draw", "layer", "head"), spread.astype(np.float32)
    copies = np.stack([rng.uniform(-1, 1, (LAYERS, HEADS)), rng.normal(0, 0.05, (LAYERS, HEADS))])
    data["copying"] = ("weights", "layer", "head"), copies.astype(np.float32)
    _removed(data, rng)
    _sentences(data, rng)
    data = data.assign_coords(reading=READINGS, weights=["trained", "random"], layer=range(LAYERS), head=range(HEADS))
    return data.assign_attrs(scale="laptop", provenance='{"environment": {"commit": "0123456789abcdef"}}')


def _removed(data: xr.Dataset, rng: np.random.Generator) -> None:
    """The top heads take 60 % of the gain, the others up to 5 %."""
    data["ablated"] = ("evaluation", "layer", "head"), np.zeros((len(EVALUATIONS), LAYERS, HEADS), dtype=bool)
    data["ablated"][1:, 18, :5] = True
    gain = np.full((len(EVALUATIONS), 2, 2), 2.0)
    gain[1] *= 0.4
    gain[2:] *= 1 - 0.05 * rng.random((20, 2, 2))
    dims = ("evaluation", "text", "way")
    data["repeat_first_loss"] = dims, np.full(gain.shape, 5.0)
    data["repeat_second_loss"] = dims, 5.0 - gain
    data.coords.update(
        {
            "evaluation": EVALUATIONS,
            "text": ["english", "random tokens"],
            "way": ["mean", "zero"],
            "sentence": [*SENTENCES],
        }
    )


def _sentences(data: xr.Dataset, rng: np.random.Generator) -> None:
    longest = max(map(len, SENTENCES.values()))
    data["sentence_tokens"] = (
        ("sentence", "position"),
        np.array([[*s, *[""] * (longest - len(s))] for s in SENTENCES.values()]),
    )
    given = np.tril(rng.random((len(SENTENCES), LAYERS, HEADS, longest, longest)))
    given[0, BEST[0], BEST[1], 9] = [0, 0, 8, 0, 0, 0, 0, 0, 0, 1, *[0] * (longest - 10)]  # "Dur" after "Mr Dur"
    weights = np.round(255 * given / given.sum(-1, keepdims=True)).astype(np.uint8)
    data["sentence_attention"] = ("sentence", "layer", "head", "query", "key"), weights


def birth(seed: int = 0) -> xr.Dataset:
    """As the recorded dataset of the birth: two layers whose second finds what followed, beside one layer."""
    rng, step, period = np.random.default_rng(seed), np.arange(0, 401, 10), 6
    shape = (2, 3, len(step), 2, 4)
    rise = 1 / (1 + np.exp(-(step - 250) / 12))
    matching, previous = (0.03 + 0.01 * rng.random(shape) for _ in range(2))
    matching[0, :, :, 1, 2] += 0.85 * rise
    previous[0, :, :, 0, 1] += 0.7 * rise
    matching[1, :, :, 1], previous[1, :, :, 1] = np.nan, np.nan
    loss = np.stack([4 - 3.9 * rise, 4 - step / 400])[:, None] + 0.02 * rng.random(shape[:3])
    given = np.tril(rng.random((2, 3, 2, 4, 2 * period, 2 * period)))
    weights = np.round(255 * given / given.sum(-1, keepdims=True)).astype(np.uint8)
    by_head = ("arm", "seed", "step", "layer", "head")
    return xr.Dataset(
        {
            "known_loss": (by_head[:3], loss),
            "prefix_matching": (by_head, matching),
            "previous": (by_head, previous),
            "attention": (("arm", "kept", "layer", "head", "query", "key"), weights),
        },
        {
            "arm": ["two layers", "one layer"],
            "seed": range(3),
            "step": step,
            "layer": range(2),
            "head": range(4),
            "kept": [0, 200, 400],
            "query": range(2 * period),
            "key": range(2 * period),
        },
        {"name": "Small decoders", "provenance": '{"environment": {"commit": "0123456789abcdef"}}'},
    )


DATA = dict.fromkeys(("walk", "controls", "removed"), heads()) | {"birth": birth()}
NEEDS = {
    "walk": ["attention_first", "prefix_matching", "copying", "sentence_tokens", "sentence_attention"],
    "controls": ["attention_previous", "attention_entropy", "prefix_matching", "copying"],
    "birth": ["known_loss", "prefix_matching", "previous", "attention"],
    "removed": ["repeat_first_loss", "repeat_second_loss", "ablated"],
}
