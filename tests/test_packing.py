"""What is packed comes back with the same bits, and what was tampered with does not pass for it."""

import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from relusparsity.book import recorded
from relusparsity.errors import UserError
from relusparsity.store import heaps, packing, results

RNG = np.random.default_rng(0)
DIMS = ("seed", "step", "unit")
SHAPE = (2, 7, 100)


def uses(dtype: Any) -> dict[str, np.ndarray]:
    """Values of many kinds, some of them near to zero, to each other, or whole."""
    shares = RNG.integers(0, 8192, SHAPE) / 8192
    with np.errstate(over="ignore", invalid="ignore"):
        return {
            "shares": shares.astype(dtype),
            "with gaps": np.where(shares < 0.3, np.nan, shares).astype(dtype),
            "real": RNG.normal(size=SHAPE).astype(dtype),
            "of every size": (RNG.normal(size=SHAPE) * 10.0 ** RNG.integers(-300, 300, SHAPE)).astype(dtype),
            "infinite": np.where(shares < 0.3, -np.inf, 1e30).astype(dtype),
            "minus zero": np.where(shares < 0.3, -0.0, 0.0).astype(dtype),
            "steps": (RNG.integers(-9, 9, SHAPE) * 8192.0).astype(dtype),
            "all missing": np.full(SHAPE, np.nan, dtype),
            "nothing": np.zeros(SHAPE, dtype),
        }


def whole(dtype: Any) -> dict[str, np.ndarray]:
    ends = np.iinfo(dtype)
    return {
        "small": RNG.integers(0, 100, SHAPE).astype(dtype),
        "any": RNG.integers(ends.min, ends.max, SHAPE, dtype=dtype, endpoint=True),
        "ends": np.resize(np.array([ends.min, ends.max, 0], dtype), SHAPE),
    }


VALUES = [
    pytest.param(values, id=f"{np.dtype(dtype)} {name}")
    for dtype in (np.float16, np.float32, np.float64, np.int8, np.int32, np.int64, np.uint64)
    for name, values in (uses if np.dtype(dtype).kind == "f" else whole)(dtype).items()
]
ON_DISK = ("float32 with gaps", "float64 of every size", "int64 any")


def made(values: np.ndarray) -> xr.Dataset:
    """A dataset whose variable is ordered by one, near to two, and at one window of a third."""
    with np.errstate(over="ignore", invalid="ignore"):
        near = (values / 2).astype(values.dtype)
        wide = np.stack([near, values], axis=-1)
    return xr.Dataset(
        {
            "token_selectivity": (DIMS, values, {"units": "1", "long_name": "what is packed"}),
            "firing_count": (DIMS, RNG.integers(0, 5, SHAPE)),
            "preactivation_p99": (DIMS, values),
            "preactivation_mean": (DIMS, near),
            "preactivation_std": (DIMS, near[::-1]),
            "token_use": (DIMS, values),
            "window_use": ((*DIMS, "window"), wide),
        }
    )


def same(one: xr.Dataset, other: xr.Dataset) -> None:
    xr.testing.assert_identical(one, other)
    assert list(one.variables) == list(other.variables)
    for name in one.variables:
        assert one[name].dtype == other[name].dtype and one[name].dims == other[name].dims
        assert one[name].values.tobytes() == other[name].values.tobytes(), f"{name}: other bits"


@pytest.mark.parametrize("values", VALUES)
def test_every_way_to_pack_gives_the_same_bits(values: np.ndarray) -> None:
    dataset = made(values)
    done: dict[str, set[str]] = {}
    for name in ("token_selectivity", "preactivation_p99", "token_use", "window_use"):
        variable = dataset[name].variable
        with np.errstate(all="ignore"):
            tried = [(packing._pack(dataset, variable, *way), *way) for way in packing._ways(dataset, name, variable)]
        for small, spec, on_disk in tried:
            assert small.dtype.kind == "u" and small.dims == on_disk
            same(packing.unpacked(dataset.assign({name: small})), dataset)
            done.setdefault(name, set()).update(spec)
    if values.dtype == np.float32 and np.isfinite(values).all() and values.any():
        assert {"order", "along"} <= done["token_selectivity"] and "at" not in done["preactivation_p99"]
        assert "near" in done["preactivation_p99"] and {"near", "at"} <= done["token_use"]


@pytest.mark.parametrize("values", [each for each in VALUES if each.id in ON_DISK])
def test_a_dataset_on_the_disk_has_the_same_bits(values: np.ndarray, tmp_path: Path) -> None:
    dataset = made(values).assign_attrs(provenance="{}")
    for variable in dataset.variables.values():
        variable.attrs = {"units": "1", "long_name": "some"}
    results.save(dataset, tmp_path / "some.nc")
    same(results.load(tmp_path / "some.nc"), dataset)


NUMBERS = (
    arrays.boolean_dtypes()
    | arrays.integer_dtypes(endianness="?")
    | arrays.unsigned_integer_dtypes(endianness="?")
    | arrays.floating_dtypes(endianness="?", sizes=(16, 32, 64))
    | arrays.complex_number_dtypes(endianness="?", sizes=(64, 128))
)
TEXT = arrays.unicode_string_dtypes(endianness="?", max_len=5) | arrays.byte_string_dtypes(max_len=5)
NO_TEXT = ("a\0b", "\0", "\ud800", None, 1, True, 2.5, b"bytes", ("a",))
ABOUT = {"units": "days since 2000-01-01", "long_name": "some", "scale_factor": 2.0}


@st.composite
def variables(draw: st.DrawFn) -> np.ndarray:
    """Few values of any kind, NaN, infinite and −0.0 among them, or many of them, which are worth packing."""
    dtype = draw(NUMBERS | TEXT | st.just(np.dtype(object)))
    shape = draw(arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    letters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
    of_object = st.text(letters, max_size=4) | (st.sampled_from(NO_TEXT) if draw(st.booleans()) else st.nothing())
    of_dtype = {"O": of_object, "U": st.text(letters, max_size=dtype.itemsize // 4)}.get(dtype.kind)
    values: np.ndarray = draw(arrays.arrays(dtype, shape, elements=of_dtype))
    return np.tile(values, 2000) if values.ndim and draw(st.booleans()) else values


@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(variables(), st.booleans())
def test_what_is_saved_comes_back_or_is_refused_in_one_sentence(values: np.ndarray, index: bool) -> None:
    dims = ("x", "y", "z")[: values.ndim]
    dataset = xr.Dataset({"v": xr.Variable(dims, values, ABOUT)}, attrs={"provenance": "{}"})
    if index and values.ndim == 1:
        dataset = dataset.rename(v="x").set_coords("x")
    (name,) = dataset.variables
    kept = dataset[name].values
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "some.nc"
        try:
            results.save(dataset, path)
        except UserError as error:
            assert kept.dtype == object and any(each in NO_TEXT or each != each for each in kept.ravel().tolist())
            told = rf"netCDF cannot hold the variable {name} \(object\) with .+ in it; save numbers with .+ or text\."
            assert re.fullmatch(told, str(error))
            assert not path.exists()
            return
        found = results.load(path)
    assert found[name].dtype == kept.dtype and found[name].dims == dataset[name].dims
    assert found[name].attrs == ABOUT and set(found.coords) == set(dataset.coords)
    bits = (lambda array: array.tolist()) if kept.dtype == object else (lambda array: array.tobytes())
    assert bits(found[name].values) == bits(kept) and found[name].shape == kept.shape


@pytest.mark.parametrize("dtype", ["M8[ns]", "m8[s]", "V4", "i4, f4"])
def test_what_netcdf_cannot_hold_is_refused_by_its_name(dtype: str, tmp_path: Path) -> None:
    odd = xr.Dataset(
        {"odd": ("x", np.zeros(3, dtype), {"units": "1", "long_name": "some"})}, attrs={"provenance": "{}"}
    )
    with pytest.raises(UserError, match=r"^netCDF cannot hold the variable odd \(.*\); save numbers with their unit"):
        results.save(odd, tmp_path / "some.nc")
    assert list(tmp_path.iterdir()) == []


def test_a_packed_file_is_smaller_and_says_how_it_is_packed(tmp_path: Path) -> None:
    count = RNG.geometric(0.001, (3, 4000))
    selectivity = np.where(count < 500, np.nan, RNG.random(count.shape)).astype(np.float32)
    about = {"units": "1", "long_name": "some"}
    dataset = xr.Dataset(
        {
            "firing_count": (("layer", "unit"), count, about),
            "token_selectivity": (("layer", "unit"), selectivity, about),
        },
        attrs={"provenance": "{}"},
    )
    results.save(dataset, tmp_path / "some.nc")
    with h5py.File(tmp_path / "some.nc") as file:
        kept = file["token_selectivity"]
        spec = json.loads(kept.attrs["packed"])
        assert spec["order"] == "firing_count" and spec["dtype"] == "<f4"
        # where half of the values are missing, half of the numbers cost nothing: their places are known
        assert kept.id.get_storage_size() < 4 * np.isfinite(selectivity).sum()
    same(results.load(tmp_path / "some.nc"), dataset)


@pytest.mark.parametrize(
    "changed",
    [
        {"crc32": 1},
        {"order": "nowhere"},
        {"order": "token_selectivity"},
        {"near": {"token_selectivity": 1}},
        {"near": {"firing_count": "many"}},
        {"near": 3},
        {"along": ["nowhere"]},
        {"as": None},
        {"as": "units", "unit": 10**9},
        {"dims": ["layer"]},
        {"dtype": "O"},
        {"dtype": "none"},
        {"zeros": -1},
        {"as": "itself"},
        {"as": "itself", "dtype": "|u1"},
        {"as": "itself", "dtype": ">u4"},
        {"dims": []},
        {"order": 3},
        {"along": [0]},
        {"near": {"firing_count": 1}},
    ],
    ids=str,
)
def test_a_packing_that_was_changed_is_told_in_one_sentence(changed: dict[str, Any]) -> None:
    dataset = made(uses(np.float32)["with gaps"])
    variable = dataset["token_selectivity"].variable
    spec, on_disk = next(way for way in packing._ways(dataset, "token_selectivity", variable) if "order" in way[0])
    small = packing._pack(dataset, variable, spec, on_disk)
    tampered = dataset.assign(token_selectivity=small)
    same(packing.unpacked(tampered), dataset)
    tampered["token_selectivity"].attrs["packed"] = json.dumps(spec | changed)
    with pytest.raises(ValueError, match=r"^the variable \w+ cannot be unpacked \(.+\)$"):
        packing.unpacked(tampered)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of a file that was half opened
def test_bytes_that_were_changed_and_sealed_again_give_one_sentence_or_the_same_packed_values(tmp_path: Path) -> None:
    name, rng = "lead-mid.nc", np.random.default_rng(1)
    whole, before = (results.data_dir() / name).read_bytes(), results.load(results.data_dir() / name)
    with h5py.File(results.data_dir() / name) as file:
        kept = [each for each in before.data_vars if "packed" in file[each].attrs]
    refused = 0
    for _ in range(30):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= int(rng.integers(1, 256))
        with results.sealed_write(tmp_path / name) as temporary:
            temporary.write_bytes(damaged)
        try:
            found = results.load(tmp_path / name)
        except UserError as error:
            refused += 1
            assert str(error).startswith(str(tmp_path / name)) and "\n" not in str(error)
            continue
        for each in kept:
            assert found[each].values.tobytes() == before[each].values.tobytes()
    assert kept and refused > 10


def test_bytes_that_hdf5_would_walk_for_ever_do_not_come_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in results.data_dir().glob("*.nc"):
        heaps.check(path.read_bytes())
    whole = (results.data_dir() / "capacity-mid-first.nc").read_bytes()
    begin = whole.index(b"GCOL") + 16
    objects = [match.start() for match in re.finditer(rb".\0.\0\0{4}\x08\0{7}", whole[begin : begin + 3000], re.DOTALL)]
    monkeypatch.setattr(xr, "load_dataset", lambda *given, **options: pytest.fail("HDF5 was asked"))
    for at in objects[::3]:
        for header in (bytes(16), b"\1" + bytes(7) + b"\xf0" + 7 * b"\xff", bytes(8) + (1 << 20).to_bytes(8, "little")):
            damaged = whole[: begin + at] + header + whole[begin + at + 16 :]
            with results.sealed_write(tmp_path / "some.nc") as temporary:
                temporary.write_bytes(damaged)
            with pytest.raises(
                UserError, match=r"some\.nc cannot be read \(object [01] of the heap at byte 239 claims "
            ):
                results.load(tmp_path / "some.nc")
    assert len(objects) > 5


@pytest.mark.parametrize("attribute", ["", "{", "7", "[]", "{}", 3.0])
def test_a_file_with_another_attribute_of_that_name_is_told(attribute: Any, tmp_path: Path) -> None:
    strange = xr.Dataset({"a": ("x", np.arange(3), {"packed": attribute})}, attrs={"provenance": "{}"})
    with results.sealed_write(tmp_path / "some.nc") as temporary:
        strange.to_netcdf(temporary, engine="h5netcdf")
    with pytest.raises(UserError, match=r"some\.nc cannot be read: the variable a cannot be unpacked \(.*\); expected"):
        results.load(tmp_path / "some.nc")


def test_a_recorded_dataset_is_written_anew_with_the_names_and_values_it_had(tmp_path: Path) -> None:
    name = "pruning-wide-first.nc"  # from before a dimension and its runs had today's names
    for each in (name, f"{name}.sha256"):
        shutil.copy(results.data_dir() / each, tmp_path / each)
    before, path = results.as_written(tmp_path / name), tmp_path / name
    assert "method" in before.dims
    old, new = recorded.rewrite(path)
    assert (old, new) == ((results.data_dir() / name).stat().st_size, path.stat().st_size)
    same(results.as_written(path), before)
    same(results.load(path), results.load(results.data_dir() / name))
    first = path.read_bytes()
    recorded.rewrite(path)
    assert path.read_bytes() == first
