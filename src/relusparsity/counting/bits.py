"""Words of 32 bits, one a unit: in which of 32 neighbouring pieces of the stream it fired, counted by windows (Triton).

A bit is a token in the first kind of word, and 32, 1,024 or 32,768 tokens in those made of words. Positions are counted
from the last multiple of 2**20 tokens.
"""

from .fused import HAS_TRITON, INTERPRETED

if HAS_TRITON:
    import triton
    import triton.language as tl
    from triton.language.extra import libdevice

    @triton.jit
    def ones(word, INTERPRETED: tl.constexpr = INTERPRETED):  # type: ignore[no-untyped-def]
        """Bits set."""
        if INTERPRETED:  # which has no instructions of the GPU
            word -= (word >> 1) & 0x55555555
            word = (word & 0x33333333) + ((word >> 2) & 0x33333333)
            word = (word + (word >> 4)) & 0x0F0F0F0F
            return ((word * 0x01010101) >> 24).to(tl.int32)
        return libdevice.popc(word.to(tl.int32, bitcast=True))

    @triton.jit
    def between(low, high):  # type: ignore[no-untyped-def]
        """A word with the bits low … high − 1, of 0 … 32."""
        one = tl.full([], 1, tl.uint64)
        return ((one << high.to(tl.uint64)) - (one << tl.minimum(low, high).to(tl.uint64))).to(tl.uint32)

    @triton.jit
    def inside(at, first):  # type: ignore[no-untyped-def]
        """Which bit of a word that begins with item `first` the item `at` is: 0 … 32, the ends for those outside."""
        return tl.minimum(tl.maximum(at - first, 0), 32)

    @triton.jit
    def ends(low, high, level: tl.constexpr):  # type: ignore[no-untyped-def]
        """First bits of the windows of 2**level bits whose last bit is low … high − 1."""
        every: tl.constexpr = 0xFFFFFFFF // ((1 << (1 << level)) - 1)
        return between((low >> level) << level, (high >> level) << level) & every

    @triton.jit
    def count(word, first, start, stop, window_units, FIRST: tl.constexpr):  # type: ignore[no-untyped-def]
        """Count the windows of 2**FIRST … 2**(FIRST + 4) tokens that end in the call; a bit is 2**FIRST tokens."""
        low, high = inside(start >> FIRST, first), inside(stop >> FIRST, first)
        for level in tl.static_range(5):
            found = tl.sum(tl.ravel(ones(word & ends(low, high, level))))
            tl.atomic_add(window_units + FIRST + level, found.to(tl.int64), sem="relaxed")
            word |= word >> (1 << level)

    @triton.jit
    def waiting(pending, unit, here, start, U, FIRST: tl.constexpr):  # type: ignore[no-untyped-def]
        """The word that the stream before `start` has begun, each union of `pending` at its first bit."""
        word = tl.zeros(unit.shape, tl.uint32)
        for level in tl.static_range(5):
            block = start >> (FIRST + level)
            waits = tl.load(pending + (FIRST + level) * U + unit, mask=here & (block % 2 == 1), other=0)
            word |= (waits != 0).to(tl.uint32) << (((block - 1) << level) & 31)
        return word

    @triton.jit
    def leave(word, pending, unit, here, stop, U, FIRST: tl.constexpr):  # type: ignore[no-untyped-def]
        """Put the unions of a word that `stop` leaves unfinished where the next call finds them."""
        for level in tl.static_range(5):
            block = stop >> (FIRST + level)
            fired = (word >> (((block - 1) << level) & 31)) & 1
            tl.store(pending + (FIRST + level) * U + unit, fired != 0, mask=here & (block % 2 == 1))
            word |= word >> (1 << level)
