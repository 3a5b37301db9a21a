"""The two Triton kernels of `gpu`: activations → words of bits, and words → everything that `LayerUse` counts."""

from .fused import HAS_TRITON

if HAS_TRITON:
    import triton
    import triton.language as tl

    from .bits import between, count, ends, inside, leave, ones, waiting

    @triton.jit
    def _larger(x, y):  # type: ignore[no-untyped-def]
        return tl.maximum(x, y, propagate_nan=tl.PropagateNan.ALL)

    @triton.jit(do_not_specialize=["start", "stop"])
    def read(  # type: ignore[no-untyped-def]
        activation,
        rows,
        thresholds,
        threshold,
        words,
        pending,
        token_histogram,
        window_units,
        not_a_number,
        start,
        stop,
        U,
        SIZE: tl.constexpr,
        LANES: tl.constexpr,
        VECTOR: tl.constexpr,
    ):
        """Tokens 32 g … 32 g + 31 of the stream, of which the call brings start … stop − 1, and all their units."""
        group = start // 32 + tl.program_id(0)
        low, high = inside(start, group * 32), inside(stop, group * 32)
        of_token = tl.zeros([8, LANES], tl.int64)  # four counts of 16 bits: of tokens i, 8 + i, 16 + i and 24 + i
        of_level = tl.zeros([LANES], tl.int64)  # four counts of 16 bits
        largest = tl.zeros([LANES * VECTOR], tl.float32)
        for column in range(0, U, LANES * VECTOR):
            unit = column + tl.arange(0, LANES * VECTOR)
            here = unit < U
            word = tl.zeros([LANES * VECTOR], tl.uint32)
            for byte in range(4):
                token = group * 32 + byte * 8 + tl.arange(0, 8) - start
                new = (token >= 0) & (token < stop - start)
                row = token.to(tl.int64)
                if rows is not None:
                    row = tl.load(rows + token, mask=new, other=0)
                mask = new[:, None] & here[None, :]
                value = tl.load(activation + row[:, None] * U + unit[None, :], mask=mask, other=0.0).to(tl.float32)
                largest = _larger(largest, tl.reduce(value, 0, _larger))
                if thresholds is not None:
                    fired = (tl.abs(value) > tl.load(thresholds + unit, mask=here, other=0.0)[None, :]) & mask
                elif SIZE:
                    fired = (tl.abs(value) > threshold) & mask
                else:
                    fired = value > 0
                # in float32, exact and twice as fast as integers
                one = tl.where(fired, 1.0, 0.0)
                of_token += tl.sum(tl.reshape(one, [8, LANES, VECTOR]), axis=2).to(tl.int64) << (16 * byte)
                bits = tl.sum(one * (1 << tl.arange(0, 8)).to(tl.float32)[:, None], axis=0)
                word |= bits.to(tl.uint32) << (8 * byte)
            if (tl.program_id(0) == 0) & (start % 32 != 0):
                word |= waiting(pending, unit, here, start, U, 0)
            tl.store(words + tl.program_id(0).to(tl.int64) * U + unit, word, mask=here)
            for level in tl.static_range(1, 5):
                word |= word >> (1 << (level - 1))
                ended = ones(word & ends(low, high, level))
                ended = tl.sum(tl.reshape(ended, [LANES, VECTOR]), axis=1)
                of_level += ended.to(tl.int64) << (16 * (level - 1))
        for byte in tl.static_range(4):
            token = group * 32 + byte * 8 + tl.arange(0, 8) - start
            units = tl.sum(((of_token >> (16 * byte)) & 0xFFFF).to(tl.int32), axis=1)
            new = (token >= 0) & (token < stop - start)
            tl.atomic_add(token_histogram + units, tl.full([8], 1, tl.int64), mask=new, sem="relaxed")
        for level in tl.static_range(1, 5):
            ended = tl.sum((of_level >> (16 * (level - 1))) & 0xFFFF)
            tl.atomic_add(window_units + level, ended, sem="relaxed")
        largest = tl.reduce(largest, 0, _larger)
        tl.store(not_a_number, True, mask=largest != largest)

    @triton.jit
    def _windows(  # type: ignore[no-untyped-def]
        words, pending, window_units, window_count, start, stop, U, UNITS: tl.constexpr
    ):
        """Windows of 32 tokens and more in which some units fired, through the whole call."""
        unit = tl.program_id(0) * UNITS + tl.arange(0, UNITS)
        here = unit < U
        first, last = start >> 5, (stop - 1) >> 5  # groups that `words` holds
        if tl.program_id(0) == 0:
            level = tl.arange(0, 32)
            ended = (stop >> level) - (start >> level)
            tl.atomic_add(window_count + level, ended.to(tl.int64), mask=level <= 20, sem="relaxed")
        of_group = tl.load(words + (last - first).to(tl.int64) * U + unit, mask=here, other=0)
        of_chunk = tl.zeros([UNITS], tl.uint32)
        of_block = tl.zeros([UNITS], tl.uint32)
        of_all = waiting(pending, unit, here, start, U, 15)
        for part in range(start >> 14, ((stop - 1) >> 14) + 1):
            chunk, block = part * 16 + tl.arange(0, 16), part // 2
            of_chunks = tl.where((chunk == start >> 10)[:, None], waiting(pending, unit, here, start, U, 5)[None, :], 0)
            for eight in tl.static_range(4):
                # (chunk, group in it, unit), in this order: a thread has all the groups of its chunks
                bit = eight * 8 + tl.arange(0, 8)
                group = chunk[:, None] * 32 + bit[None, :]
                mask = ((group >= first) & (group <= last))[:, :, None] & here[None, None, :]
                at = (group - first).to(tl.int64)[:, :, None] * U + unit[None, None, :]
                fired = tl.load(words + at, mask=mask, other=0) != 0
                of_chunks |= tl.sum(fired.to(tl.uint32) << bit[None, :, None], axis=1)
            count(of_chunks, chunk[:, None] * 32, start, stop, window_units, 5)
            of_chunk = tl.sum(tl.where((chunk == stop >> 10)[:, None], of_chunks, 0), axis=0)
            if part % 2 == 0:
                of_block = tl.zeros([UNITS], tl.uint32)
            if part == start >> 14:
                of_block |= waiting(pending, unit, here, start, U, 10)
            of_block |= tl.sum((of_chunks != 0).to(tl.uint32) << (chunk % 32)[:, None], axis=0)
            if (part % 2 == 1) | (part == (stop - 1) >> 14):
                count(of_block, block * 32, start, stop, window_units, 10)
                of_all |= (of_block != 0).to(tl.uint32) << (block % 32)
                if (block % 32 == 31) | (part == (stop - 1) >> 14):
                    count(of_all, block // 32 * 32, start, stop, window_units, 15)
                    if stop >> 20 > block // 32:
                        found = tl.sum((of_all != 0).to(tl.int32))
                        tl.atomic_add(window_units + 20, found.to(tl.int64), sem="relaxed")
                        of_all = tl.zeros([UNITS], tl.uint32)
        leave(of_group, pending, unit, here, stop, U, 0)
        leave(of_chunk, pending, unit, here, stop, U, 5)
        leave(of_block, pending, unit, here, stop, U, 10)
        leave(of_all, pending, unit, here, stop, U, 15)

    @triton.jit
    def _sequences(  # type: ignore[no-untyped-def]
        words,
        window_units,
        unit_tokens,
        unit_sequences,
        sequence_histogram,
        starts,
        fired_before,
        units_before,
        tickets,
        start,
        sequences,
        positions,
        U,
        CONTINUES: tl.constexpr,
        SEQUENCES: tl.constexpr,
        UNITS: tl.constexpr,
    ):
        """Tokens and sequences in which some units fired, sequence by sequence."""
        unit = tl.program_id(0) * UNITS + tl.arange(0, UNITS)
        sequence = (tl.program_id(1) - 1) * SEQUENCES + tl.arange(0, SEQUENCES)
        here = unit < U
        exists = sequence < sequences
        begin, end = sequence * positions, (sequence + 1) * positions
        if starts is not None:
            begin = tl.load(starts + sequence, mask=exists, other=0).to(tl.int32)
            end = tl.load(starts + sequence + 1, mask=exists, other=0).to(tl.int32)
        begin, end = start + begin, start + end
        tokens = tl.zeros([SEQUENCES, UNITS], tl.int32)
        for step in range(0, (positions + 62) // 32, 8):
            # (sequence, group, unit), in this order: a thread has all the groups of its sequence
            group = (begin >> 5)[:, None] + step + tl.arange(0, 8)[None, :]
            low, high = inside(begin[:, None], group * 32), inside(end[:, None], group * 32)
            mask = ((low < high) & exists[:, None])[:, :, None] & here[None, None, :]
            at = (group - (start >> 5)).to(tl.int64)[:, :, None] * U + unit[None, None, :]
            word = tl.load(words + at, mask=mask, other=0)
            tokens += tl.sum(ones(word & between(low, high)[:, :, None]), axis=1)
        firings = tl.sum(tokens, axis=0).to(tl.int64)
        tl.atomic_add(unit_tokens + unit, firings, mask=here, sem="relaxed")
        tl.atomic_add(window_units, tl.sum(firings), sem="relaxed")
        fired = tokens > 0
        there = exists[:, None] & here[None, :]
        last = fired_before + sequence.to(tl.int64)[:, None] * U + unit[None, :]
        new = fired
        if CONTINUES:
            old = tl.load(last, mask=there, other=0) != 0
            new = fired & ~old
            fired = fired | old
        tl.store(last, fired, mask=there)
        added = tl.sum(new.to(tl.int32), axis=0).to(tl.int64)
        tl.atomic_add(unit_sequences + unit, added, mask=here, sem="relaxed")
        # Units of a sequence are known to the last of the programs that count a part of them: a ticket says which it
        # is, in the same number as the sum, which therefore needs no reading of what others wrote.
        mine = (tl.sum(fired.to(tl.int32), axis=1).to(tl.int64) << 32) + 1
        drawn = tl.atomic_add(tickets + sequence, mine, mask=exists, sem="relaxed") + mine
        done = exists & ((drawn & 0xFFFFFFFF) == tl.num_programs(0))
        units, before = (drawn >> 32).to(tl.int32), tl.full([SEQUENCES], -1, tl.int32)
        if CONTINUES:
            before = tl.load(units_before + sequence, mask=done, other=-1)
            tl.atomic_add(
                sequence_histogram + before,
                tl.full([SEQUENCES], -1, tl.int64),
                mask=done & (before >= 0),
                sem="relaxed",
            )
        begun = (end > begin) | (before >= 0)  # a row of padding is no sequence
        tl.atomic_add(sequence_histogram + units, tl.full([SEQUENCES], 1, tl.int64), mask=done & begun, sem="relaxed")
        tl.store(units_before + sequence, tl.where(begun, units, -1), mask=done)
        tl.store(tickets + sequence, tl.zeros([SEQUENCES], tl.int64), mask=done)

    @triton.jit(do_not_specialize=["start", "stop", "sequences", "positions"])
    def unite(  # type: ignore[no-untyped-def]
        words,
        pending,
        window_units,
        window_count,
        unit_tokens,
        unit_sequences,
        sequence_histogram,
        starts,
        fired_before,
        units_before,
        tickets,
        start,
        stop,
        sequences,
        positions,
        U,
        CONTINUES: tl.constexpr,
        SEQUENCES: tl.constexpr,
        UNITS: tl.constexpr,
    ):
        if tl.program_id(1) == 0:
            _windows(words, pending, window_units, window_count, start, stop, U, UNITS)
        else:
            _sequences(
                words,
                window_units,
                unit_tokens,
                unit_sequences,
                sequence_histogram,
                starts,
                fired_before,
                units_before,
                tickets,
                start,
                sequences,
                positions,
                U,
                CONTINUES,
                SEQUENCES,
                UNITS,
            )
