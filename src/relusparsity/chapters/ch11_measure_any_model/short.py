"""What chapter 11 found."""

from ... import store
from ...claims.short import Short, between


def in_short() -> Short:
    """The chapter in a sentence and three lines."""
    dataset = store.recorded("any_model", "laptop")
    at_token, over = (
        100 * each.isel(seed=0).astype(float)
        for each in (dataset["final_token_use"], dataset["final_window_use"].sel(window=8192))
    )
    silent = dataset["silent_units"].isel(seed=0)
    fresh = ["untrained", "OPT"]
    window = int(dataset.attrs["final_sample_tokens"])
    return Short(
        "The same exact counts on PyTorch models that nobody here trained, and what to hold them against: with "
        f"random weights {between(at_token.sel(model=fresh))} % of a ReLU layer's units fire at a token, in every "
        "layer alike.",
        (
            f"Laptop (6 × 1,024 units), trained: {between(at_token.sel(model='trained'))} % at a token, and "
            f"{between(over.sel(model='trained'))} % over 8,192.",
            f"On {window:,} tokens, at most {int(silent.sel(model=fresh).max())} of 1,024 units of a layer is silent "
            f"in ReLU models with random weights; in the trained one, {between(silent.sel(model='trained'))}.",
            f"A Llama of random weights has no zero: what counts as firing there is a choice. By CETT 0.2, "
            f"{between(at_token.sel(model='Llama, CETT 0.2'))} % of its units fire at a token.",
        ),
    )
