"""Chapter 02's tables, on made-up numbers."""

import numpy as np
import xarray as xr

from relusparsity.chapters.ch02_layer_patterns import tables


def test_the_first_token_stands_beside_the_mean_of_the_later_ones() -> None:
    use = np.full((2, 3, 12), 0.25)  # seed, layer, position
    use[:, :, : tables.SETTLED] = 0.75  # in neither row but for the first
    use[0, 1, 0], use[1, 1, 0] = 0.5, 0.7
    dataset = xr.Dataset({"position_use": (("seed", "layer", "position"), use)}, attrs={"scale": "made up"})
    table = tables.first_token(dataset)
    assert table.index.tolist() == [("made up", "first token"), ("made up", "from position 8")]
    assert table.values.tolist() == [[75.0, 60.0, 75.0], [25.0, 25.0, 25.0]]
