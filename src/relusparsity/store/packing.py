"""Arrays of a dataset as small whole numbers, which a byte shuffle and deflate make smaller, and back to the same bits.

A variable is packed where that saves something. Its attribute `packed` then says, as JSON, how to undo it; what is
absent was not done. From the numbers on the disk, unsigned, where 0, 1, 2, 3 … stand for 0, −1, 1, −2 …:

- ``dims``: its dimensions; on the disk they may stand in another order.
- ``along``: dimensions along which each number is the difference to the one before, the last undone first; ``*``: along
  all of the array.
- ``order``: a variable of the same dimensions; the numbers stand in the (stable) order of its values.
- ``near``: variables, each with a factor, whose sum was subtracted; taken at the indices ``at``.
- ``as``: what the numbers are. ``units``: values in units of two to the power of ``unit``, with ``missing`` for NaN.
  ``itself``: the values, numbers or text, which nothing made smaller, and which lack nothing but their ``dtype``.
  ``bits``: those of a float32 in the order of the values, without the last ``zeros`` of them, which are zero in all.
- ``dtype`` of the values, and ``crc32`` of their bytes: what is computed otherwise is never taken for them.
"""

import json
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import xarray as xr

from ..errors import UserError
from .schema import NEAR, ORDER, STEADY

SMALLEST, WORTH = 2_000, 500
"""Bytes of an array, and bytes saved, below which it stays as it is."""

LARGEST = 2**53
"""Above it, differences might not fit 64 bits, and float64 not hold the numbers."""

_SURROGATE = re.compile("[\ud800-\udfff]")
"""Halves of a letter, which are no text by themselves."""

Spec = dict[str, Any]


def packed(dataset: xr.Dataset) -> xr.Dataset:
    """The dataset, with each larger variable of numbers packed that becomes smaller by it.

    Raises
    ------
    UserError
        If netCDF cannot hold a variable.
    """
    found = {}
    for name, variable in dataset.variables.items():
        if (plain := _plain(str(name), variable)) is not variable:
            found[name] = plain
        kind, size = variable.dtype.kind, variable.dtype.itemsize
        if name in dataset.data_vars and kind in "iuf" and size <= 8 and variable.nbytes >= SMALLEST:
            with np.errstate(all="ignore"):  # what the numbers give back is compared
                tried = (_pack(dataset, variable, *way) for way in _ways(dataset, str(name), variable))
                best = min(tried, key=_deflated, default=variable)
            if _deflated(best) + WORTH <= _deflated(variable):
                found[name] = best
    return dataset.assign(found)


def _plain(name: str, variable: xr.Variable) -> xr.Variable:
    """A variable as netCDF gives it back: the same, or its values with a dtype of netCDF, and `packed` for its own."""
    values, dtype = variable.values, variable.dtype
    if dtype.kind == "T":  # what pandas makes of text in an index: it is read back as NumPy's own text
        return _plain(name, xr.Variable(variable.dims, np.array(values.tolist(), str), variable.attrs))
    advice = "save numbers with their unit, truth values or text"
    if dtype.kind not in "biufcSUO" or "packed" in variable.attrs:
        what = "an attribute `packed`, which is ours" if "packed" in variable.attrs else str(dtype)
        raise UserError(f"netCDF cannot hold the variable {name} ({what}); {advice}.")
    if dtype.kind in "UO":
        for each in values.ravel().tolist():
            if not isinstance(each, str) or "\0" in each or _SURROGATE.search(each):
                raise UserError(f"netCDF cannot hold the variable {name} ({dtype}) with {each!r} in it; {advice}.")
        values = np.array(values.tolist(), str).reshape(values.shape)
    else:
        values = values.astype(dtype.newbyteorder("="), copy=False)
    if values.dtype == dtype:
        return variable
    spec = {"dims": variable.dims, "as": "itself", "dtype": dtype.str}
    return xr.Variable(variable.dims, values, variable.attrs | {"packed": json.dumps(spec)})


def unpacked(dataset: xr.Dataset) -> xr.Dataset:
    """The dataset as it was before `packed`.

    Raises
    ------
    ValueError
        Naming the variable that does not come out as it was.
    """
    whole: dict[str, xr.Variable] = {}
    for name in dataset.variables:
        try:
            with np.errstate(all="ignore"):  # whatever comes out is compared
                _whole(dataset, str(name), whole)
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise ValueError(f"the variable {name} cannot be unpacked ({error})") from error
    return dataset.assign(whole)


def _ways(dataset: xr.Dataset, name: str, variable: xr.Variable) -> Iterator[tuple[Spec, tuple[str, ...]]]:
    """What is tried: how a variable is packed, and the order of its dimensions on the disk."""
    dims = tuple(map(str, variable.dims))
    steady = [dim for dim in STEADY if dim in dims]
    moved = tuple(dim for dim in dims if dim not in steady[:1]) + tuple(steady[:1])
    tried: list[tuple[Spec, tuple[str, ...]]] = [({}, dims)]
    tried += [({"along": steady[:many]}, dims) for many in range(1, len(steady) + 1)]
    tried += [({"along": steady[:1]}, moved)] if moved != dims else []
    other = ORDER.get(name)
    if other in dataset and dataset[other].dims == variable.dims:
        tried = [({"order": other}, dims), ({"order": other, "along": ["*"]}, dims)]
    nears = [{}, *_near(dataset, name, variable)]
    for kind in _kinds(variable.values):
        for near in nears:
            for way, on_disk in tried:
                yield {"dims": dims} | way | near | kind, on_disk


def _kinds(values: np.ndarray) -> Iterator[Spec]:
    """What the numbers may be: the kinds that give these values back."""
    checked = {"dtype": values.dtype.str, "crc32": _crc32(values)}
    if values.dtype.kind != "f":
        if max(-int(values.min()), int(values.max())) < LARGEST:
            yield {"as": "units"} | checked
        return
    bits = _bits(values)
    together = int(np.bitwise_or.reduce(bits, axis=None))
    some = [{"as": "bits", "zeros": (together & -together).bit_length() - 1 if together else 0}]
    finite = values[~np.isnan(values)].astype(np.float64)
    mantissa, exponent = np.frexp(finite[finite != 0])
    if mantissa.size and np.isfinite(finite).all():
        whole = (mantissa * 2**53).astype(np.int64)
        unit = int((exponent - 54 + np.frexp((whole & -whole).astype(np.float64))[1]).min())
        lowest, highest = (float(np.ldexp(end, -unit)) for end in (finite.min(), finite.max()))
        if max(-lowest, highest) < LARGEST:
            some.append({"as": "units", "unit": unit, "missing": int(lowest) - 1})
    for kind in some:
        if _crc32(_values(_numbers(values, kind | checked), kind | checked)) == checked["crc32"]:
            yield kind | checked


def _near(dataset: xr.Dataset, name: str, variable: xr.Variable) -> Iterator[Spec]:
    """Variables whose sum comes near to one, as the schema has them, if they are there."""
    factors, dim = NEAR.get(name, ({}, None))
    if not factors or variable.dtype.kind != "f" or not set(factors) <= set(dataset.data_vars):
        return
    if dim is None:
        if all(dataset[other].dims == variable.dims for other in factors):
            yield {"near": factors}
        return
    for index in range(dataset.sizes.get(dim, 0)):  # at one of them, another variable is this one
        (other,) = (dataset[other].isel({dim: index}, missing_dims="ignore").variable for other in factors)
        if other.dims == variable.dims and np.array_equal(other.values, variable.values, equal_nan=True):
            yield {"near": factors, "at": {dim: index}}
            return


def _pack(dataset: xr.Dataset, variable: xr.Variable, spec: Spec, on_disk: tuple[str, ...]) -> xr.Variable:
    numbers = _numbers(variable.values, spec) - _guess(spec, lambda name: dataset[name].variable)
    if other := spec.get("order"):
        numbers = numbers.ravel()[np.argsort(dataset[other].values, axis=None, kind="stable")].reshape(numbers.shape)
    for dim in spec.get("along", ()):
        if dim == "*":
            numbers = np.diff(numbers.ravel(), prepend=0).reshape(numbers.shape)
        else:
            numbers = np.diff(numbers, axis=variable.dims.index(dim), prepend=0)
    unsigned = np.where(numbers < 0, -2 * numbers - 1, 2 * numbers)
    narrow = unsigned.astype(np.min_scalar_type(int(unsigned.max())))
    said = {"packed": json.dumps(spec)}
    return xr.Variable(variable.dims, narrow, variable.attrs | said).transpose(*on_disk)


def _whole(dataset: xr.Dataset, name: str, whole: dict[str, xr.Variable]) -> xr.Variable:
    """A variable as it was; those that are needed for it first, all of them kept in `whole`."""
    stored = dataset.variables[name]
    if name in whole or "packed" not in stored.attrs:
        return whole.get(name, stored)
    attrs = dict(stored.attrs)
    spec = json.loads(attrs.pop("packed"))

    def needed(other: str) -> xr.Variable:
        return _whole(dataset, other, whole)

    stored = stored.transpose(*spec["dims"])
    if spec["as"] == "itself" and "crc32" not in spec:  # which numbers have
        whole[name] = xr.Variable(stored.dims, _itself(stored.values, np.dtype(spec["dtype"])), attrs)
        return whole[name]
    unsigned = stored.values
    numbers = (unsigned >> 1).astype(np.int64) ^ -(unsigned & 1).astype(np.int64)
    for dim in reversed(spec.get("along", [])):
        if dim == "*":
            numbers = np.cumsum(numbers).reshape(numbers.shape)
        else:
            numbers = np.cumsum(numbers, axis=stored.dims.index(dim))
    if other := spec.get("order"):
        ordered, numbers = numbers.ravel(), np.empty_like(numbers)
        numbers.ravel()[np.argsort(needed(other).values, axis=None, kind="stable")] = ordered
    values = _values(numbers + _guess(spec, needed), spec)
    if _crc32(values) != spec["crc32"]:
        raise ValueError("its values are not those that were packed")
    whole[name] = xr.Variable(stored.dims, values, attrs)
    return whole[name]


def _itself(values: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """Values with their own dtype, if that is another for the same values."""
    wide_enough = dtype.kind == "O" or (dtype.kind == "U" and dtype.itemsize >= values.itemsize)
    swapped = dtype.newbyteorder("=") == values.dtype != dtype
    if not swapped and not (values.dtype.kind == "U" and wide_enough):
        raise ValueError(f"{values.dtype} holds no {dtype}")
    return values.astype(dtype)


def _guess(spec: Spec, needed: Callable[[str], xr.Variable]) -> np.ndarray | int:
    """What was subtracted, as numbers; computed in float64, factor by factor, so that every machine has the same."""
    if "near" not in spec:
        return 0
    at = spec.get("at", {})
    terms = [factor * needed(name).isel(at).values.astype(np.float64) for name, factor in spec["near"].items()]
    total = sum(terms[1:], start=terms[0])
    return _numbers(np.where(np.isnan(total), np.nan, total), spec)


def _numbers(values: np.ndarray, spec: Spec) -> np.ndarray:
    """Values → whole numbers (int64), to the nearest one."""
    if spec["as"] == "bits":
        return _bits(values) >> spec["zeros"]
    if values.dtype.kind != "f":
        return values.astype(np.int64)
    scaled = np.rint(np.ldexp(values.astype(np.float64), -spec["unit"]))
    return np.where(np.isnan(scaled), spec["missing"], np.clip(scaled, -LARGEST, LARGEST)).astype(np.int64)


def _values(numbers: np.ndarray, spec: Spec) -> np.ndarray:
    """`_numbers` undone."""
    dtype = np.dtype(spec["dtype"])
    if dtype.kind not in "iuf":
        raise ValueError(f"{dtype} holds no numbers")
    if spec["as"] == "bits":
        bits = numbers << spec["zeros"]
        return np.where(bits < 0, -(2**31) - bits, bits).astype(np.int32).view(np.float32).astype(dtype)
    if dtype.kind != "f":
        return numbers.astype(dtype)
    scaled = np.ldexp(numbers.astype(np.float64), spec["unit"])
    return np.where(numbers == spec["missing"], np.nan, scaled).astype(dtype)


def _bits(values: np.ndarray) -> np.ndarray:
    """Float32 as whole numbers in the same order (int64): the bits of its size, negative for one below zero."""
    bits = values.astype(np.float32).view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(2**31) - bits, bits)


def _crc32(values: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(values).tobytes())


def _deflated(variable: xr.Variable) -> int:
    """Bytes on the disk: as HDF5 shuffles and deflates them, and what the attribute adds."""
    values = np.ascontiguousarray(variable.values)
    shuffled = values.reshape(-1).view(np.uint8).reshape(-1, values.itemsize).T.tobytes()
    return len(zlib.compress(shuffled, 1)) + len(variable.attrs.get("packed", ""))
