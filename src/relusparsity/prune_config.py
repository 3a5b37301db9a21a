"""When hidden units are removed for good from a run while it trains, and which, as frozen data.

`train.shrinking` does it, and needs torch.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from . import checks
from .checks import Checked, in_words
from .errors import UserError

REMOVALS = 4
"""Times at most: each removal makes other shapes, for which the step is compiled again."""


@dataclass(frozen=True)
class PruneConfig(Checked):
    """Hidden units that are removed while a run trains; by default, none.

    What belongs to them goes with them: weights, the optimiser's moments, the death tracker's counters.
    """

    tokens: tuple[checks.Tokens, ...] = ()
    """Training tokens after which units are removed, four times at most; none: nothing is removed."""
    rule: Literal["dead", "random"] = "dead"
    """dead: those that are dead(n) then, the longest silent first; random: drawn from the seed, down to `widths`.

    So a matched run of random removals is given the widths that its twin by `dead` came to. It could not count its own
    dead units instead: removing others changes who dies, and from the second removal on the numbers would part."""
    widths: tuple[checks.Size, ...] = ()
    """random: units of each layer after the first removal, then after the second, and so on, one after the other."""
    multiple: checks.Size = 128
    """Widths stay multiples of this, and no layer loses its last so many; a GPU's matrix products go by tiles of it."""
    seed: checks.Seed = 0
    """random: of the draw."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("rule", "widths", "multiple", "seed"):
            unread = not self.tokens or (name in ("widths", "seed") and self.rule == "dead")
            if unread and (given := getattr(self, name)) != getattr(type(self), name):
                why = "without prune.tokens" if not self.tokens else f"by rule = {self.rule}"
                raise UserError(f"PruneConfig.{name} = {checks.shown(given)} is not read {why}; leave it out.")
        if len(self.tokens) > REMOVALS or list(self.tokens) != sorted(set(self.tokens)):
            raise UserError(
                f"PruneConfig.tokens = {checks.shown(list(self.tokens))}: expected {REMOVALS} numbers at most, each "
                "larger than the one before."
            )

    def after(self, removal: int, n_layers: int) -> tuple[int, ...]:
        """Units of each layer after a removal by `random`, the first of which is 0."""
        return self.widths[removal * n_layers : (removal + 1) * n_layers]

    def kept(self, needed: int) -> int:
        """Units of a layer that stay if so many must: the next multiple, which is one multiple at least.

        >>> PruneConfig(tokens=(1024,)).kept(130), PruneConfig(tokens=(1024,)).kept(0)
        (256, 128)
        """
        return rounded_up(needed, self.multiple)

    def check(self, widths: Sequence[int], batch_tokens: int, begin: int, end: int, dead_after: int, wait: int) -> None:
        """Refuse what a run of these widths, from and to these training tokens, cannot be asked.

        Parameters
        ----------
        dead_after
            n of dead(n), in a layer's own tokens.
        wait
            Training tokens in which every layer has had as many.

        Raises
        ------
        UserError
            For a moment that is no step of the run's before its last, or before which not every layer can have dead
            units, and for widths that are no multiples, too many or too few, or larger than before.
        """
        if not self.tokens:
            return
        for at in self.tokens:
            if at % batch_tokens or not begin <= at < end:
                raise UserError(
                    f"PruneConfig.tokens has {at}: expected multiples of batch_tokens = {batch_tokens} from {begin} on "
                    f"and below {end}, the run's last."
                )
        if self.rule == "dead" and self.tokens[0] < wait:
            slower = f", or {wait} in a layer with fewer tokens of its own" if wait > dead_after else ""
            raise UserError(
                f"PruneConfig.tokens has {self.tokens[0]}: no unit is dead(n) before n = dead_after = {dead_after} "
                f"training tokens{slower}; remove later."
            )
        if odd := [width for width in (*widths, *self.widths) if width % self.multiple]:
            raise UserError(
                f"a layer of {odd[0]} units does not go with prune.multiple = {self.multiple}, of which widths stay "
                "multiples; give d_ff and prune.widths as multiples of it, or another one."
            )
        if self.rule == "dead":
            return
        if len(self.widths) != (expected := len(self.tokens) * len(widths)):
            raise UserError(
                f"PruneConfig.widths has {len(self.widths)} numbers: expected {expected}, one for each of "
                f"{len(widths)} layers after each of {len(self.tokens)} removals."
            )
        before = tuple(widths)
        for removal in range(len(self.tokens)):
            after = self.after(removal, len(widths))
            if any(new > old for new, old in zip(after, before, strict=True)):
                raise UserError(
                    f"PruneConfig.widths has {in_words(after)} after {in_words(before)}: units are removed, not added; "
                    "give as many or fewer."
                )
            before = after


def rounded_up(units: float, multiple: int) -> int:
    """The next multiple, which is one multiple at least.

    >>> rounded_up(130, 128), rounded_up(128, 128), rounded_up(0, 128)
    (256, 128, 128)
    """
    return max(1, math.ceil(units / multiple)) * multiple
