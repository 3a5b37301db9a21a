"""Which keys a query may attend to, as data: one definition for masks of any engine, and attention under one."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from ..errors import UserError


@dataclass(frozen=True)
class Pattern:
    """A mask by rule: query i sees key j where any of its parts lets it, no part lets it see what follows.

    The parts are the window, `sinks`, `together` and `blocks`; without any of them all keys are seen.

    Examples
    --------
    >>> Pattern(window=2, sinks=1).matrix(4).int()
    tensor([[1, 0, 0, 0],
            [1, 1, 0, 0],
            [1, 1, 1, 0],
            [1, 0, 1, 1]], dtype=torch.int32)
    """

    causal: bool = True
    """Whether a query sees no key after it, whatever else lets it."""
    window: int | None = None
    """Keys that the window has on its side of the query, itself among them: ``|i - j| < window · stride``."""
    stride: int = 1
    """Of the window's keys each so many-th is seen, those at a multiple of it from the query: a dilated window."""
    sinks: int = 0
    """First keys that every query sees, as StreamingLLM keeps them (Xiao et al., arXiv 2309.17453)."""
    together: tuple[int, ...] = ()
    """Positions of global tokens, which see all and are seen by all, as Longformer's (arXiv 2004.05150)."""
    blocks: tuple[tuple[bool, ...], ...] | None = None
    """(query block, key block): which blocks see which; those beyond the table see nothing."""
    block: int = 128
    """Positions of a block."""

    def __post_init__(self) -> None:
        for name, least in (("window", 1), ("stride", 1), ("block", 1), ("sinks", 0)):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                raise UserError(f"{name} = {value!r}: expected a whole number, {least} or more.")
        if self.stride > 1 and self.window is None:
            raise UserError(f"stride = {self.stride} is of a window's keys; give a window too.")
        if self.blocks is not None and (not self.blocks or len({len(row) for row in self.blocks}) > 1):
            raise UserError("blocks: expected a table of truths, a row for each block of queries, all of one length.")

    def sees(self, i: Int[Tensor, "..."], j: Int[Tensor, "..."]) -> Bool[Tensor, "..."]:
        """Whether queries at i see keys at j, shapes as they broadcast; what FlexAttention calls a mask_mod."""
        back = i - j
        every = torch.ones_like(back, dtype=torch.bool)
        parts = []
        if self.window is not None:
            parts.append((back.abs() < self.window * self.stride) & (back % self.stride == 0))
        if self.sinks:
            parts.append((j < self.sinks) & every)
        for token in self.together:
            parts.append((i == token) | (j == token))
        if self.blocks is not None:
            parts.append(self._in_blocks(i, j))
        seen = torch.stack(torch.broadcast_tensors(*parts)).any(0) if parts else every
        return seen & (back >= 0) if self.causal else seen

    def _in_blocks(self, i: Tensor, j: Tensor) -> Tensor:
        table = torch.tensor(self.blocks, dtype=torch.bool, device=i.device)
        row, column = i // self.block, j // self.block
        inside = (row < table.shape[0]) & (column < table.shape[1])
        return inside & table[row.clamp(max=table.shape[0] - 1), column.clamp(max=table.shape[1] - 1)]

    def matrix(
        self, queries: int, keys: int | None = None, device: str | torch.device = "cpu"
    ) -> Bool[Tensor, "query key"]:
        """The whole mask, of queries that are the last of the keys (all of them, unless told otherwise).

        Raises
        ------
        UserError
            If a query sees no key, for which attention is not defined.
        """
        keys = queries if keys is None else keys
        i = torch.arange(keys - queries, keys, device=device)
        seen = self.sees(i[:, None], torch.arange(keys, device=device)[None])
        empty = ~seen.any(1)
        if bool(empty.any()):
            raise UserError(
                f"the mask has an empty row: query {int(i[empty][0])} of {keys} sees no key; let each see itself, by a "
                "window or a block on the diagonal."
            )
        return seen

    def attend(
        self,
        q: Float[Tensor, "sequence head query width"],
        k: Float[Tensor, "sequence group key width"],
        v: Float[Tensor, "sequence group key out"],
        scale: float | None = None,
    ) -> Float[Tensor, "sequence head query out"]:
        """Attention under this mask, by PyTorch's own function; on any device, forward and backward.

        Raises
        ------
        UserError
            If a query sees no key.
        """
        seen = self.matrix(q.shape[2], k.shape[2], q.device)
        grouped = q.shape[1] != k.shape[1]
        return F.scaled_dot_product_attention(q, k, v, attn_mask=seen, scale=scale, enable_gqa=grouped)
