"""Pictures with labels out of packages: read, split by rule, and drawn anew where a run's configuration asks for it.

The split: the 5,000 digits are ranked by numbers drawn once for all, the last 512 are the test, the 512 before them the
validation. Fashion-MNIST has its own test of 10,000; of its 60,000 for training, the 8,192 ranked last are the
validation. Pixels become real numbers from −1 to 1, as transformers' ViT has them.
"""

import gzip
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import packages
from ..errors import UserError
from ..identity import digest
from ..pictures_config import CLASSES, SIDE, PicturesConfig

_SPLIT, _LABELS, _NOISE, _PIXELS, _FRESH = range(5)
"""What numbers are drawn for, so that draws for one are not those for another."""


HELD_OUT = {"digits": (512, 512), "fashion": (8192, 10_000)}
"""Source → pictures of its validation, and of its test."""


class Labelled(NamedTuple):
    """Pictures (picture, row, column), uint8, and their labels (picture), int64."""

    pixels: np.ndarray
    labels: np.ndarray


def as_numbers(pixels: np.ndarray) -> np.ndarray:
    """Pixels of 0 to 255 as float32 from −1 to 1, for the model."""
    return pixels.astype(np.float32) / np.float32(127.5) - 1


@dataclass(frozen=True)
class Pictures:
    """What a run trains on, is validated on while it trains, and is tested on at its end."""

    config: PicturesConfig
    train: Labelled
    validation: Labelled
    test: Labelled
    checksum: str
    """sha256 over all pictures and labels, and what is drawn for each step."""

    @property
    def name(self) -> str:
        """What sentences and provenance call it."""
        return f"pictures:{self.config.source}"

    def fresh(self, count: int, seed: int, step: int) -> Labelled:
        """Pictures and labels for one step of a run of this seed, where pixels are fresh."""
        of = (_FRESH, self.config.seed, seed, step)
        shape = (count, *self.train.pixels.shape[1:])
        return Labelled(_drawn_pixels(shape, self.config.padding, *of), _classes(count, *of))

    def facts(self) -> dict[str, Any]:
        """What a run's provenance says of its pictures."""
        sizes = {f"{part}_pictures": len(getattr(self, part).labels) for part in ("train", "validation", "test")}
        return {"name": self.name, "checksum": self.checksum, **sizes}


def load(config: PicturesConfig) -> Pictures:
    """The pictures of a configuration; a process reads and draws them once.

    Raises
    ------
    UserError
        If their package is not on this machine, saying which command fetches it, or holds what it should not.
    """
    return _load(config, packages.folder(_SOURCES[config.source][0]))


@lru_cache(maxsize=4)
def _load(config: PicturesConfig, folder: Path) -> Pictures:
    (_, read), (heldout, _) = _SOURCES[config.source], HELD_OUT[config.source]
    train, test = read()
    for part, given in (("training", train), ("test", test)):
        _check(f"the {part} pictures in {folder}", given)
    order = _ranked(len(train.labels), _SPLIT)
    if not len(test.labels):
        order, last = order[:-heldout], order[-heldout:]
        test = Labelled(*(each[last] for each in train))
    train, validation = (Labelled(*(each[some] for each in train)) for some in (order[:-heldout], order[-heldout:]))
    parts = [_with_pixels(part, config, at) for at, part in enumerate((_relabelled(train, config), validation, test))]
    return Pictures(config, parts[0], parts[1], parts[2], _checksum(parts, config))


def _check(what: str, given: Labelled) -> None:
    pixels, labels = given
    if pixels.shape != (len(labels), SIDE, SIDE):
        raise UserError(f"{what} are {pixels.shape}, labels {labels.shape}: expected {SIDE} × {SIDE} pixels each.")
    if len(labels) and labels.max() >= CLASSES:
        raise UserError(
            f"{what} have labels up to {labels.max()}: expected those of {CLASSES} classes, 0 to {CLASSES - 1}; fetch "
            "the package again."
        )


def _relabelled(train: Labelled, config: PicturesConfig) -> Labelled:
    """With the training labels that the configuration asks for."""
    labels = train.labels.copy()
    if config.labels == "random":
        labels = _classes(len(labels), _LABELS, config.seed)
    # without a last number, these would be those that order the pictures of a run: NumPy ignores zeros at the end
    chosen = _ranked(len(labels), _NOISE, config.seed, 3)[: round(config.noise * len(labels))]
    other = 1 + _raw(len(chosen), _NOISE, config.seed, 1) % np.uint64(CLASSES - 1)
    labels[chosen] = (labels[chosen] + other.astype(np.int64)) % CLASSES
    return Labelled(train.pixels, labels)


def _with_pixels(part: Labelled, config: PicturesConfig, place: int) -> Labelled:
    """Padded, and with the pixels that the configuration asks for."""
    if config.pixels != "real":
        shape = (len(part.labels), config.side, config.side)
        return Labelled(_drawn_pixels(shape, config.padding, _PIXELS, config.seed, place), part.labels)
    around = (config.padding, config.padding)
    return Labelled(np.pad(part.pixels, ((0, 0), around, around)), part.labels)


def _checksum(parts: list[Labelled], config: PicturesConfig) -> str:
    found = [hashlib.sha256(np.ascontiguousarray(each).data).hexdigest() for part in parts for each in part]
    return digest(found, config.seed if config.pixels == "fresh" else None)


def _raw(count: int, *of: int) -> np.ndarray:
    """Raw numbers of PCG64, which NumPy promises never to change."""
    return np.random.PCG64(list(of)).random_raw(count)


def _ranked(count: int, *of: int) -> np.ndarray:
    """Places 0 … `count` − 1 in a drawn order."""
    return np.argsort(_raw(count, *of), kind="stable")


def _classes(count: int, *of: int) -> np.ndarray:
    """A drawn class for each of so many pictures."""
    return (_raw(count, *of, 0) % np.uint64(CLASSES)).astype(np.int64)


def _drawn_pixels(shape: tuple[int, ...], padding: int, *of: int) -> np.ndarray:
    """Uniform pixels (picture, row, column) inside the padding, which stays 0: eight to a raw number."""
    out = np.zeros(shape, np.uint8)
    inside = out[:, padding : shape[1] - padding, padding : shape[2] - padding]
    raw = _raw(-(-inside.size // 8), *of, 1).astype("<u8")
    inside[:] = raw.view(np.uint8)[: inside.size].reshape(inside.shape)
    return out


def _digits() -> tuple[Labelled, Labelled]:
    with gzip.open(packages.path("digits")) as file:
        rows = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    pixels = rows[:, :-1].reshape(-1, SIDE, SIDE)
    none = Labelled(pixels[:0], np.zeros(0, np.int64))  # it has no test of its own
    return Labelled(pixels, rows[:, -1].astype(np.int64)), none


def _fashion() -> tuple[Labelled, Labelled]:
    return _idx("train"), _idx("t10k")


def _idx(part: str) -> Labelled:
    """IDX files, gzipped: big-endian sizes behind four bytes, whose last says how many; then bytes."""
    found = []
    for what in ("images-idx3", "labels-idx1"):
        data = gzip.decompress(packages.path("fashion-mnist", f"{part}-{what}-ubyte.gz").read_bytes())
        sizes = np.frombuffer(data, ">i4", count=data[3], offset=4)
        found.append(np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(sizes))
    return Labelled(found[0], found[1].astype(np.int64))


_SOURCES: dict[str, tuple[str, Callable[[], tuple[Labelled, Labelled]]]] = {
    "digits": ("digits", _digits),
    "fashion": ("fashion-mnist", _fashion),
}
"""Source → its package, and what reads training and test."""
