"""Files are whole or absent, checked when read, and say what they are."""

import errno
import json
import os
import subprocess
import sys
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from relusparsity.errors import UserError
from relusparsity.store import results, sealed


def dataset(value: float = 0.5) -> xr.Dataset:
    values = {"batch_use": (("layer", "unit"), np.full((6, 2000), value)), "layer": (("layer",), np.arange(6))}
    described = results.described(values, {"batch_use": ("1", "share of units"), "layer": ("1", "layer, from 0")})
    return described.assign_attrs(provenance=json.dumps({"config": {"seed": 3}}))


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# Whole or absent


def test_a_dataset_comes_back(tmp_path: Path) -> None:
    results.save(dataset(), tmp_path / "deep" / "some.nc")
    found = results.load(str(tmp_path / "deep" / "some.nc"))
    xr.testing.assert_identical(found, dataset())
    assert results.provenance(found) == {"config": {"seed": 3}}
    assert files(tmp_path / "deep") == ["some.nc", "some.nc.sha256"]
    os.remove(tmp_path / "deep" / "some.nc")  # the file is closed, and nothing of it is read lazily
    assert float(found["batch_use"].sum()) == 6000


def test_an_earlier_name_of_a_dimension_is_read_as_the_one_of_now(tmp_path: Path) -> None:
    earlier = dataset().expand_dims(method=["rate", "random"])
    earlier["method"].attrs = {"units": "1", "long_name": "which units go first"}
    results.save(earlier, tmp_path / "earlier.nc")
    found = results.load(tmp_path / "earlier.nc")
    xr.testing.assert_identical(found.rename(chosen_by="method"), earlier)
    assert "chosen_by" not in found["batch_use"].sel(chosen_by="rate").dims


@pytest.mark.parametrize("name", sorted(path.name for path in results.data_dir().glob("*.nc")))
def test_no_dimension_of_a_dataset_is_a_word_of_sel(name: str) -> None:
    """Such a dimension cannot be selected by its name: xarray takes it for the option, and returns all of it."""
    words = {word for of in (xr.Dataset.sel, xr.Dataset.isel, xr.Dataset.mean) for word in signature(of).parameters}
    assert not {str(dim) for dim in results.load(results.data_dir() / name).dims} & words


def test_the_checksum_is_the_one_that_sha256sum_knows(tmp_path: Path) -> None:
    results.save(dataset(), tmp_path / "some.nc")
    subprocess.run(
        ["sha256sum", "--check", "--strict", "some.nc.sha256"], cwd=tmp_path, check=True, capture_output=True
    )


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    with sealed.atomic_write(tmp_path / "a.json") as temporary:
        temporary.write_text('{"old": 1}')
    with pytest.raises(KeyboardInterrupt), sealed.atomic_write(tmp_path / "a.json") as temporary:
        assert temporary.parent == tmp_path and temporary.suffix == ".json"
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert json.loads((tmp_path / "a.json").read_text()) == {"old": 1}
    assert files(tmp_path) == ["a.json"]


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    with sealed.atomic_write(tmp_path / "a") as temporary:
        temporary.write_text("half")
        assert not (tmp_path / "a").exists()
    assert (tmp_path / "a").read_text() == "half"


class Killed(BaseException):
    """Stands for SIGKILL: nothing after it runs but what the test looks at."""


def test_killed_at_any_moment_the_file_passes_its_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every replacement of a file, in the order they come, is the last thing that happens."""
    path, replace, left = tmp_path / "some.nc", os.replace, [10**6]

    def dying(source: str, target: str) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        replace(source, target)

    monkeypatch.setattr(os, "replace", dying)
    moments = 0
    for old in (None, 0.25):
        for after in range(10):
            left[0] = 10**6
            for leftover in tmp_path.iterdir():
                leftover.unlink()
            if old is not None:
                results.save(dataset(old), path)
            left[0] = after
            try:
                results.save(dataset(0.75), path)
            except Killed:
                moments += 1
                if old is None and not path.exists():
                    continue
                assert float(results.load(path)["batch_use"][0, 0]) in (old, 0.75)
                left[0] = 10**6
                results.save(dataset(0.5), path)  # and it can be written again
                assert len((tmp_path / "some.nc.sha256").read_text().splitlines()) == 1
            assert path.exists() and results.load(path) is not None
    assert moments == 5, "the checksum and the file; with an old one there, the checksum once more"


@pytest.mark.parametrize("suffix", [".nc", ".json"])
def test_a_full_disk_leaves_the_last_good_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    path = tmp_path / f"some{suffix}"

    def write(value: float) -> None:
        results.save(dataset(value), path) if suffix == ".nc" else sealed.write_json(path, value)

    write(0.25)
    before = {name: (tmp_path / name).read_bytes() for name in files(tmp_path)}

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"some.* cannot be written \(No space left on device\); make room"):
        write(0.75)
    assert {name: (tmp_path / name).read_bytes() for name in files(tmp_path)} == before


def test_a_file_that_may_not_grow_leaves_the_last_good_one(tmp_path: Path) -> None:
    """The operating system itself refuses in the middle of the file."""
    program = f"""
import resource, sys
import numpy as np
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from relusparsity.store import results
from test_results import dataset
path = Path({str(tmp_path / "some.nc")!r})
results.save(dataset(0.25), path)
resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))
noise = dataset().assign(batch_use=dataset()["batch_use"].copy(data=np.random.default_rng(0).random((6, 2000))))
try:
    results.save(noise, path)
except ValueError as error:
    print("refused:", error)
    sys.exit(3)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 3 and "some.nc cannot be written (File too large)" in done.stdout, done.stderr
    assert float(results.load(tmp_path / "some.nc")["batch_use"][0, 0]) == 0.25


# Checked when read


@pytest.mark.parametrize("damage", ["truncated", "changed", "empty"])
def test_a_damaged_dataset_is_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "some.nc"
    results.save(dataset(), path)
    whole = path.read_bytes()
    path.write_bytes({"truncated": whole[:-100], "changed": whole[:-1] + b"?", "empty": b""}[damage])
    with pytest.raises(UserError, match=r"some\.nc is damaged: its sha256 is .*; delete it and make it again\."):
        results.load(path)


@pytest.mark.parametrize("content", ["", "\n", "0" * 64 + "  some.nc\n"])
def test_a_damaged_checksum_is_named(tmp_path: Path, content: str) -> None:
    results.save(dataset(), tmp_path / "some.nc")
    (tmp_path / "some.nc.sha256").write_text(content)
    with pytest.raises(UserError, match=r"some\.nc is damaged"):
        results.load(tmp_path / "some.nc")


def test_a_missing_file_or_checksum_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"some\.nc does not exist"):
        results.load(tmp_path / "some.nc")
    results.save(dataset(), tmp_path / "some.nc")
    (tmp_path / "some.nc.sha256").unlink()
    with pytest.raises(UserError, match=r"some\.nc has no checksum file some\.nc\.sha256"):
        results.load(tmp_path / "some.nc")


def test_a_foreign_dataset_is_refused(tmp_path: Path) -> None:
    with sealed.sealed_write(tmp_path / "foreign.nc") as temporary:
        xr.Dataset({"a": ("x", [1.0])}).to_netcdf(temporary, engine="h5netcdf")
    with pytest.raises(UserError, match=r"foreign\.nc has no provenance"):
        results.load(tmp_path / "foreign.nc")


@pytest.mark.parametrize(
    ("drop", "named"), [("units", "batch_use"), ("long_name", "batch_use"), ("provenance", "attributes: ")]
)
def test_what_does_not_say_what_it_is_is_not_saved(tmp_path: Path, drop: str, named: str) -> None:
    bare = dataset()
    del (bare.attrs if drop == "provenance" else bare["batch_use"].attrs)[drop]
    with pytest.raises(ValueError, match=named):
        results.save(bare, tmp_path / "some.nc")
    assert files(tmp_path) == []


def test_a_coordinate_needs_units_too(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"without units or long_name: \['unit'\]"):
        results.save(dataset().assign_coords(unit=np.arange(2000)), tmp_path / "some.nc")


def test_a_variable_that_nobody_described_is_an_error() -> None:
    with pytest.raises(KeyError, match="mystery"):
        results.described({"mystery": ((), 1.0)}, {})


def test_shares_are_kept_in_float32_and_counts_as_integers() -> None:
    units = {"a": ("1", "share"), "b": ("units", "count")}
    found = results.described({"a": (("x",), np.array([0.5])), "b": (("x",), np.array([2**40]))}, units)
    assert found["a"].dtype == np.float32 and int(found["b"][0]) == 2**40
    assert found["b"].attrs == {"units": "units", "long_name": "count"}


# Recorded


def test_recorded_datasets_are_found_by_experiment_and_scale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "data_dir", lambda: tmp_path)
    with pytest.raises(UserError, match="no recorded dataset patterns-laptop-default; recorded are: none"):
        results.recorded("patterns")
    results.save(dataset(), tmp_path / "patterns-smoke.nc")
    xr.testing.assert_identical(results.recorded("patterns", "smoke"), dataset())
    with pytest.raises(UserError, match="no recorded dataset patterns-wide-nearest; recorded are: patterns-smoke"):
        results.recorded("patterns", "wide")
    with pytest.raises(
        UserError, match=r"'paper' is an old word for scale 'wide' with recipe 'nearest'; ask by today's"
    ):
        results.recorded("patterns", "paper", "first")
    absurd: list[Any] = [f"../{tmp_path.name}/patterns", "patterns" * 1000, None, 3]
    for name in absurd:
        with pytest.raises(UserError, match="no recorded dataset"):
            results.recorded(name, "smoke")


def test_the_environment_names_versions_device_and_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = results.environment()
    assert {"python", "packages", "platform", "device", "commit", "meaning", "deterministic"} <= set(facts)
    assert facts["packages"]["torch"] and facts["device"].startswith("cpu (")
    assert json.loads(json.dumps(facts)) == facts
    monkeypatch.setenv("RELUSPARSITY_COMMIT", "abc123")
    assert results.environment()["commit"] == facts["commit"], "git knows better"
    monkeypatch.setattr(results, "_CHECKOUT", Path("/nowhere"))
    assert results.environment()["commit"] == "abc123"
    monkeypatch.delenv("RELUSPARSITY_COMMIT")
    assert results.environment()["commit"] == "unknown (not a git checkout)"


def test_a_dataset_that_is_read_again_is_a_copy_and_what_was_written_since(tmp_path: Path) -> None:
    results.save(dataset(0.5), tmp_path / "d.nc")
    first = results.load(tmp_path / "d.nc")
    first["batch_use"].values[...] = -1
    first.attrs["scale"] = "another"
    again = results.load(tmp_path / "d.nc")
    assert (again["batch_use"].values == 0.5).all() and "scale" not in again.attrs
    results.save(dataset(0.25), tmp_path / "d.nc")
    assert (results.load(tmp_path / "d.nc")["batch_use"].values == 0.25).all()
