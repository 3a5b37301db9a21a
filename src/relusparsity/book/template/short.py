"""What chapter 00 found."""

from ... import store
from ...claims.short import Short, between, spread


def in_short() -> Short:
    """The chapter in a sentence and three lines."""
    dataset = store.recorded("chapter_name", "smoke")
    use = 100 * dataset["final_token_use"].astype(float)
    by_layer = use.mean("recipe")
    most, least = (int(at) for at in (by_layer.mean("seed").argmax("layer"), by_layer.mean("seed").argmin("layer")))
    return Short(
        f"At a token of {dataset.attrs['scale'].capitalize()}, {between(use)} % of a layer's units fire.",
        (
            f"Most in layer {most}: {spread(by_layer.isel(layer=most).values, ' %')}.",
            f"Fewest in layer {least}: {spread(by_layer.isel(layer=least).values, ' %')}.",
            f"In all layers together {between(use.mean(['seed', 'layer']))} %, from run to run.",
        ),
    )
