"""What chapter 11 found."""

from ... import store
from ...claims.short import Short, between
from ...plots.reading import how_many
from . import words


def in_short() -> Short:
    """The chapter in a sentence and three lines."""
    dataset = store.recorded("any_model", "laptop")
    over = 100 * dataset["final_window_use"].isel(seed=0).sel(window=8192, model="trained").astype(float)
    quiet = int(words.silent(dataset, *words.RANDOM).max())
    return Short(
        "In a PyTorch model that learned nothing, half of a ReLU layer's units fire at a token "
        f"({between(words.at_token(dataset, *words.RANDOM))} % here), in every layer alike. That, and not 100 %, is "
        "the zero point of a number of sparsity.",
        (
            f"Laptop (6 × {dataset.attrs['d_ff']:,} units) begins there. After training "
            f"{between(words.at_token(dataset, 'trained'))} % of a layer's units fire at a token and {between(over)} % "
            "within 8,192 tokens.",
            f"Of {words.read(dataset)} tokens, up to "
            f"{how_many(int(words.silent(dataset, 'trained').max()), 'unit')} of a trained layer fire at none. Of a "
            f"layer with random weights at most {quiet} {'does' if quiet == 1 else 'do'} so.",
            "Activations that are never zero need a threshold, and each has its own zero point: by the rule CETT 0.2 "
            f"(explained below) {between(words.at_token(dataset, words.SMOOTH))} % of a random Llama's units fire at a "
            "token.",
        ),
    )
