"""Take variables out of a dataset, or say clearly which one is missing."""

import json

import numpy as np
import xarray as xr

from ..errors import UserError
from ..shapes import title

COUNTED = ("step", "history_step", "set", "position", "unit")  # these need no labels: the index is the name


def variable(dataset: xr.Dataset, function: str, name: str, *dims: str) -> xr.DataArray:
    """The variable `name` with its dimensions in the order `dims`.

    Raises
    ------
    UserError
        If the variable is missing or has other dimensions.
    """
    if name not in dataset:
        have = ", ".join(sorted(map(str, dataset.data_vars))) or "no variable"
        raise UserError(f"{function} needs the variable {name!r} ({', '.join(dims)}); the dataset has {have}")
    found = dataset[name]
    if set(found.dims) != set(dims):
        raise UserError(
            f"{function} needs {name!r} with the dimensions ({', '.join(dims)}); "
            f"it has ({', '.join(map(str, found.dims))})"
        )
    for dim in dims:
        if dim not in found.coords:
            if dim not in COUNTED:
                raise UserError(f"{function} needs the coordinate {dim!r}, the labels of a dimension of {name!r}")
            found = found.assign_coords({dim: np.arange(found.sizes[dim])})
    return found.transpose(*dims)


def tokens(dataset: xr.Dataset, function: str, name: str = "tokens", dim: str = "step") -> np.ndarray:
    """Tokens seen at each measured step: (step)."""
    return variable(dataset, function, name, dim).values.astype(float)


def attribute(source: xr.Dataset | xr.DataArray, function: str, name: str) -> int:
    """An integer attribute, such as a sample size in tokens."""
    if name not in source.attrs:
        where = f"variable {source.name!r}" if isinstance(source, xr.DataArray) else "dataset"
        raise UserError(f"{function} needs the attribute {name!r} (an integer) on the {where}; it has none")
    return int(source.attrs[name])


def units(dataset: xr.Dataset, function: str) -> int:
    """Number of hidden units per layer.

    Raises
    ------
    UserError
        If the layers differ in it.
    """
    if "width" in dataset:
        raise UserError(f"{function} draws shares of one width, and the layers of this dataset have several.")
    return dataset.sizes["unit"] if "unit" in dataset.sizes else attribute(dataset, function, "d_ff")


def batch_window(dataset: xr.Dataset) -> str:
    """Tokens in batch use's window, as the caption says it: 8,192 by definition, fewer in trial runs."""
    if "provenance" not in dataset.attrs:
        return "8,192"
    return f"{json.loads(dataset.attrs['provenance'])['config']['measure']['set_tokens']:,}"


def sources(recorded: xr.Dataset, live: xr.Dataset | None) -> list[tuple[str, xr.Dataset]]:
    """The datasets of a figure with their names; a single one has none."""
    if live is None:
        return [("", recorded)]
    named = [("recorded", recorded), ("this machine", live)]
    return [(f"{what}, {title(d.attrs['scale'])}" if "scale" in d.attrs else what, d) for what, d in named]


def titled(text: str, source: str) -> str:
    """A panel's title, with the dataset's name, if it has one, on a second line."""
    return f"{text}\n{source}" if source else text


def layers(array: xr.DataArray) -> list[int]:
    """Layer numbers."""
    return [int(x) for x in array["layer"].values]


def layer_names(array: xr.DataArray) -> list[str]:
    """What each layer is called: 'layer 1', or, where layers are of several stacks, 'decoder 0'."""
    if is_stacked(array):
        return [str(name) for name in array["layer_name"].values]
    return [f"layer {i}" for i in layers(array)]


def of_layers(array: xr.DataArray) -> dict[str, tuple[str, np.ndarray]]:
    """Coordinates of its layers, for what is made of it: their numbers and, where they are of several stacks, names."""
    names = ("layer", "layer_name", "layer_positions") if is_stacked(array) else ("layer",)
    return {name: ("layer", array[name].values) for name in names}


def own_tokens(dataset: xr.Dataset, sample: int) -> np.ndarray:
    """Own tokens of each layer in a sample of so many, counted as of a layer at all `seq_len` positions: (layer)."""
    if not is_stacked(dataset):
        return np.full(dataset.sizes["layer"], sample)
    seq_len = json.loads(dataset.attrs["provenance"])["config"]["model"]["seq_len"]
    return sample * dataset["layer_positions"].values // seq_len


def is_stacked(data: xr.Dataset | xr.DataArray) -> bool:
    """Whether its layers are of several stacks; a measured model's have names, too, but as many tokens each."""
    return {"layer_name", "layer_positions"} <= set(data.coords)


def thinned(n: int, most: int) -> np.ndarray:
    """At most `most` of the indices 0 … n − 1, spread evenly and with both ends."""
    return np.arange(n) if n <= most else np.unique(np.linspace(0, n - 1, most).round().astype(int))


def how_many(number: int, what: str) -> str:
    """'1 seed', '3 seeds', '1,024 units'."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def percentile_levels(array: xr.DataArray, *wanted: int) -> tuple[int, ...]:
    """The wanted percentile levels.

    Raises
    ------
    UserError
        If one was not measured.
    """
    have = {int(p) for p in array["percentile"].values}
    if missing := [p for p in wanted if p not in have]:
        raise UserError(f"percentiles needs the percentiles {missing}; the dataset has {sorted(have)}")
    return wanted


def percent(share: float) -> str:
    """A share in percent as a sentence says it: '0.4 %', '12 %', '99.6 %'."""
    if 99 < share < 100:
        return f"{share:.1f} %" if share < 99.95 else "over 99.9 %"
    return "under 0.01 %" if 0 < share < 0.01 else f"{share:.{0 if share >= 10 else 1}f} %".replace(".0 %", " %")


def lowest(values: xr.DataArray) -> tuple[str, float, str, float]:
    """Name of the lowest layer and its value, and of the highest: (layer) → 'layer 1', 11.2, 'layer 5', 75.1."""
    called = dict(zip(layers(values), layer_names(values), strict=True))
    low, high = values.idxmin("layer"), values.idxmax("layer")
    names = [called[int(each)] if each.notnull() else "no layer" for each in (low, high)]
    return names[0], float(values.min()), names[1], float(values.max())
