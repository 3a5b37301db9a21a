"""What test_track_deaths needs, also in processes of their own: torchrun starts two that train one model."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import relusparsity


class Two(nn.Module):
    """Two layers of six units that fire where they are told to."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.ReLU(), nn.ReLU()

    def forward(self, inputs_embeds: Tensor, attention_mask: Tensor | None = None, stop: str = "") -> Tensor:
        first = self.a(inputs_embeds[..., :6])
        if stop == "after a":
            return first
        return first + self.b(inputs_embeds[..., 6:]) + (1 / 0 if stop else 0)

    def run(self, fired: np.ndarray, real: np.ndarray | None = None) -> None:
        """Read once: firing masks (layer, sequence, position, unit), and which positions are tokens."""
        given = torch.from_numpy(np.concatenate(fired, axis=-1) - np.float32(0.5))
        self(given, attention_mask=None if real is None else torch.from_numpy(real).long())


def brute_force(stream: list[np.ndarray], dead_after: int) -> dict[str, np.ndarray]:
    """Every count again, from the masks (layer, token, unit) of each step: walk back from every step's end."""
    layers, _, units = stream[0].shape
    ends = np.cumsum([step.shape[1] for step in stream])
    fired = np.stack([step.any(1) for step in stream])  # (step, layer, unit)
    out: dict[str, Any] = {name: np.zeros((layers, units), int) for name in ("last_fired", "deaths", "revivals")}
    out["onset"], out["dead"] = np.full((layers, units), -1), np.zeros((layers, units), bool)
    rows: dict[str, list[np.ndarray]] = {name: [] for name in ("dead_units", "deaths", "revivals", "train_token_use")}
    for step, end in enumerate(ends):
        died, back = np.zeros(layers), np.zeros(layers)
        for layer, unit in np.ndindex(layers, units):
            late = (ends > end - dead_after) & (ends <= end)  # steps that end in the last n tokens
            dead = end >= dead_after and not fired[late, layer, unit].any()
            past = ends[: step + 1][fired[: step + 1, layer, unit]]
            out["last_fired"][layer, unit] = last = past[-1] if len(past) else 0
            if dead and not out["dead"][layer, unit]:
                out["deaths"][layer, unit] += 1
                died[layer] += 1
                if out["onset"][layer, unit] < 0:
                    out["onset"][layer, unit] = last
            if out["dead"][layer, unit] and fired[step, layer, unit]:
                out["revivals"][layer, unit] += 1
                back[layer] += 1
            out["dead"][layer, unit] = dead
        rows["dead_units"].append(out["dead"].sum(1) if end >= dead_after else np.full(layers, np.nan))
        rows["deaths"].append(died)
        rows["revivals"].append(back)
        rows["train_token_use"].append(stream[step].mean((1, 2)))
    return out | {"tokens": ends} | {f"by_step_{name}": np.stack(value) for name, value in rows.items()}


def trained(way: str, rank: int) -> dict[str, np.ndarray]:
    """Eight steps of two passes each, the second padded on one process: what was tracked, and the masks recorded."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    from any_models import build, names

    bare = build("opt").train()
    model = bare
    if way == "ddp":
        model = nn.parallel.DistributedDataParallel(bare)
    else:
        mesh = init_device_mesh("cpu", (2,))
        for part in (*bare.model.decoder.layers, bare):
            fully_shard(part, mesh=mesh)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    kept: list[list[Tensor]] = [[], []]
    for at, name in enumerate(names("opt")):
        bare.get_submodule(name).register_forward_hook(lambda _m, _a, out, at=at: kept[at].append(out.detach() > 0))
    found, generator = {}, torch.Generator().manual_seed(rank)
    with relusparsity.track_deaths(model, dead_after=60) as deaths:
        for step in range(8):
            read = []
            for second in (False, True):
                ids = torch.randint(3, 99, (2, 4), generator=generator)
                real = torch.ones(2, 4, dtype=torch.long)
                real[1, 2:] = 1 - int(second and rank == 1)
                model(input_ids=ids, attention_mask=real, labels=ids).loss.backward()
                read.append(real.bool())
            optimizer.step()
            optimizer.zero_grad()
            deaths.step()
            layers = [[each.view(2, 4, -1)[real] for each, real in zip(layer, read, strict=True)] for layer in kept]
            found[f"step{step}"] = torch.stack([torch.cat(layer) for layer in layers]).numpy()
            for layer in kept:
                layer.clear()
    state = deaths.state_dict()
    return found | {name: value.numpy() for name, value in state.items() if isinstance(value, Tensor)}


def said_of_a_nan(rank: int) -> str:
    """What a process says where an activation of the other's is NaN."""
    model = Two()
    try:
        with relusparsity.track_deaths(model, 8, "[ab]") as deaths:
            model(torch.full((1, 2, 12), torch.nan if rank else 1.0))
            deaths.step()
    except FloatingPointError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    rank = torch.distributed.get_rank()
    for way in ("ddp", "fsdp2"):
        np.savez(Path(sys.argv[1]) / f"{way}-{rank}.npz", **trained(way, rank))
    (Path(sys.argv[1]) / f"nan-{rank}.txt").write_text(said_of_a_nan(rank))
    torch.distributed.destroy_process_group()
