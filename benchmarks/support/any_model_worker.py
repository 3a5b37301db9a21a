"""One way to learn which units of a large model fire, in a process of its own, so that its peak memory is its own.

Run by any_model_cost.py with this environment's Python or that of TransformerLens; prints one line of JSON. The text
is read in turns: bare and counting, or counting and bare, so that a slow minute slows both.
"""

import copy
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import machine
import plain
import torch
import transformers
from torch import Tensor, nn

QUARTERS = 4  # of the text, after which the peak of memory is looked at


def build(job: dict[str, Any]) -> nn.Module:
    """An OPT of the shape, with random weights: they cost what trained ones cost."""
    shape = dict(job["shape"])
    config = transformers.OPTConfig(word_embed_proj_dim=shape["hidden_size"], **shape)
    torch.manual_seed(0)
    with torch.device(job["device"]):
        return transformers.OPTForCausalLM(config).to(getattr(torch, job["dtype"])).eval()


def layers(model: nn.Module) -> list[nn.Module]:
    return [module for name, module in model.named_modules() if name.endswith(".activation_fn")]


class Way:
    """Reads chunks (sequence, position) and counts; `counting` is the part of the time that follows the reading."""

    counting = 0.0

    def read(self, chunks: list[Tensor]) -> None:
        raise NotImplementedError

    def unit_tokens(self) -> list[Tensor]:
        """(layer) of (unit): tokens at which each fired."""
        raise NotImplementedError


class Tracked(Way):
    """relusparsity.track."""

    def __init__(self, model: nn.Module) -> None:
        from relusparsity import track

        self.model, self.use = model, track(model)

    def read(self, chunks: list[Tensor]) -> None:
        with self.use:
            for chunk in chunks:
                self.model(input_ids=chunk, use_cache=False)

    def unit_tokens(self) -> list[Tensor]:
        return [layer.unit_tokens for layer in self.use.counts()]


class Kept(Way):
    """Keeps the activations that `read_one` gives, of all the text or of one chunk, then counts in plain PyTorch."""

    def __init__(self, read_one: Callable[[Tensor], list[Tensor]], keep: str, clock: Callable[[], float]) -> None:
        self.read_one, self.keep, self.clock = read_one, keep, clock
        self.kept: list[list[Tensor]] = []
        self.counts: list[plain.Counts] = []

    def read(self, chunks: list[Tensor]) -> None:
        for chunk in chunks:
            self.kept.append([part.reshape(*chunk.shape, -1) for part in self.read_one(chunk)])
            if self.keep == "chunk":
                self.count()

    def count(self) -> None:
        start = self.clock()
        self.counts += [plain.of_chunk(part) for part in self.kept]
        self.kept.clear()
        self.counting += self.clock() - start

    def unit_tokens(self) -> list[Tensor]:
        return list(plain.together(self.counts)["unit_tokens"])


def with_hooks(model: nn.Module) -> Callable[[Tensor], list[Tensor]]:
    """Forward hooks, as one writes them."""

    def read(chunk: Tensor) -> list[Tensor]:
        kept: list[Tensor] = []
        hooks = [layer.register_forward_hook(lambda _m, _a, out: kept.append(out)) for layer in layers(model)]
        model(input_ids=chunk, use_cache=False)
        for hook in hooks:
            hook.remove()
        return kept

    return read


def with_cache(model: nn.Module, filtered: bool) -> Callable[[Tensor], list[Tensor]]:
    """TransformerLens' run_with_cache on the same weights, of the layers' activations alone or of everything."""
    from tokenizers import Tokenizer, models
    from transformer_lens.model_bridge import TransformerBridge

    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(4)}, unk_token="w0"))
    special = {f"{name}_token": f"w{i}" for i, name in enumerate(("pad", "bos", "eos"))}
    shared = copy.deepcopy(model, {id(parameter): parameter for parameter in model.parameters()})
    with tempfile.TemporaryDirectory() as folder:  # it wants a tokenizer that has been on disk
        transformers.PreTrainedTokenizerFast(tokenizer_object=words, **special).save_pretrained(folder)
        shared.config.save_pretrained(folder)
        bridge = TransformerBridge.boot_transformers(
            folder,
            hf_model=shared,
            tokenizer=transformers.AutoTokenizer.from_pretrained(folder),
            device=str(next(model.parameters()).device),
            dtype=next(model.parameters()).dtype,
        )
    names = [f"blocks.{layer}.mlp.hook_post" for layer in range(len(layers(model)))]

    def read(chunk: Tensor) -> list[Tensor]:
        _, cache = bridge.run_with_cache(chunk, **({"names_filter": names} if filtered else {}))
        return [cache[name] for name in names]

    return read


class Memory:
    """Bytes in use now and at the peak: of the GPU's allocator, or resident (Linux)."""

    def __init__(self, cuda: bool) -> None:
        self.cuda = cuda

    def now(self) -> int:
        return torch.cuda.memory_allocated() if self.cuda else machine.resident("VmRSS")

    def peak(self) -> int:
        return torch.cuda.max_memory_allocated() if self.cuda else machine.resident("VmHWM")

    def reset(self) -> None:
        if self.cuda:
            torch.cuda.reset_peak_memory_stats()
        else:
            Path("/proc/self/clear_refs").write_text("5")


def main() -> None:
    job: dict[str, Any] = json.loads(sys.argv[1])
    torch.set_num_threads(job["threads"])
    torch.set_grad_enabled(False)
    cuda = job["device"].startswith("cuda")

    def clock() -> float:
        if cuda:
            torch.cuda.synchronize()
        return perf_counter()

    model, memory = build(job), Memory(cuda)
    vocabulary, generator = job["shape"]["vocab_size"], torch.Generator().manual_seed(1)
    ids = torch.randint(4, vocabulary, (job["tokens"] // job["seq_len"], job["seq_len"]), generator=generator)
    chunks = list(ids.to(job["device"]).split(job["chunk_tokens"] // job["seq_len"]))
    turns = [chunks[at : at + job["turn"]] for at in range(0, len(chunks), job["turn"])]
    source, _, keep = job["way"].partition(" ")
    read_one = with_cache(model, source == "filter") if source in ("filter", "everything") else with_hooks(model)

    def make() -> Way:
        return Tracked(model) if source == "track" else Kept(read_one, keep, clock)

    def bare(some: list[Tensor]) -> None:
        for chunk in some:
            model(input_ids=chunk, use_cache=False)

    make().read([chunks[0][:1, :8]])  # what PyTorch loads once is no part of the comparison
    bare(chunks[:1])
    rest = memory.now()
    memory.reset()
    bare(chunks[:1])
    forward = memory.peak() - rest
    memory.reset()
    seconds: dict[str, list[float]] = {"bare": [], "way": []}
    peaks: dict[int, int] = {}
    way, tokens = make(), 0
    try:
        for at, turn in enumerate(turns):
            for which, read in (("bare", bare), ("way", way.read)) if at % 2 else (("way", way.read), ("bare", bare)):
                start = clock()
                read(turn)
                seconds[which].append(clock() - start)
            tokens += sum(chunk.numel() for chunk in turn)
            if (at + 1) * QUARTERS % len(turns) < QUARTERS:
                peaks[tokens] = memory.peak() - rest - forward
        if isinstance(way, Kept) and way.kept:
            start = clock()
            way.count()
            seconds["way"].append(clock() - start)
            peaks[tokens] = memory.peak() - rest - forward
    except torch.OutOfMemoryError:
        print(json.dumps({"out_of_memory_after_tokens": tokens}), flush=True)
        return
    fired = torch.stack(way.unit_tokens()).cpu()
    torch.save(fired, job["save"])
    print(
        json.dumps(
            {
                "bare_s": seconds["bare"],
                "way_s": seconds["way"],
                "counting_s": way.counting,
                "forward_B": forward,
                "above_forward_B": peaks,
                "firings": int(fired.sum()),
            }
        ),
        flush=True,
    )


if __name__ == "__main__":
    main()
