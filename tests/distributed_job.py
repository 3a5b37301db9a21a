"""What each of two processes does in test_distributed; started by torchrun, or alone as the reference."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

import pictures_made
import spans_made
from fixtures_core import made_up_text, tiny_corpus, tiny_model, tiny_run
from relusparsity import corpora, distributed, train
from relusparsity.errors import UserError
from relusparsity.experiments import shared
from relusparsity.models import build
from relusparsity.store import results
from relusparsity.train import evaluate, resuming

SETS = (1, 2, 3, 7)
CHANGES = {"train.tokens": 1280, "measure.points": 2}


def measured(sets: int) -> dict[str, np.ndarray]:
    """Everything that evaluation says of frozen weights, on so many sets of 4 sequences."""
    text = corpora.heldout_sequences(made_up_text(30 * 8 + 1, seed=3), 8)[: 4 * sets + 1]
    found = evaluate.measure(build(tiny_model(init="fan_in", embedding_std=1.0), seed=0), text, 4, [[0, 5]] * 2)
    states = [layer.state() for layer in found.use.layers]
    return {
        **{name: np.stack([state[name] for state in states]) for name in states[0] if name != "pending"},
        "position_units": found.use.position_units.numpy(),
        "batch_use": found.batch_use,
        "score": np.array([found.score.nats, found.score.correct, found.score.tokens]),
        **found.drift,
    }


def trained(seed: int, **changes: Any) -> train.Run:
    return train.run(tiny_run(**CHANGES, **changes, seed=seed), tiny_corpus())


PRUNED = {"prune.tokens": (512, 896), "prune.multiple": 4}
JUDGED = CHANGES | {"measure.predictions": True}
SHARDED = CHANGES | {"train.shard": True}


def after_steps(steps: int) -> train.Trainer:
    """A trainer whose parameters are shared out among the processes, some steps on."""
    trainer = train.Trainer(tiny_run(**SHARDED), tiny_corpus(), torch.device("cpu"))
    for _ in range(steps):
        trainer.advance()
    return trainer


def parameters(trainer: train.Trainer) -> dict[str, np.ndarray]:
    return {name: distributed.whole(p.detach()).numpy() for name, p in trainer.model.named_parameters()}


def use_of_all_sets() -> xr.Dataset:
    """What an experiment does: every process computes, and all must take part in what they do together."""
    value = measured(7)["batch_use"].mean(0)
    dataset = results.described({"use": (("layer",), value)}, {"use": ("1", "batch use")})
    return dataset.assign_attrs(provenance="{}", rank=distributed.rank())


if __name__ == "__main__":
    torch.set_num_threads(1)
    out = Path(sys.argv[1])
    os.environ["RELUSPARSITY_RUNS"] = str(out / "runs")
    distributed.join()
    rank, world = distributed.rank(), distributed.world()
    for sets in SETS:
        np.savez(out / f"measured-{sets}-{rank}.npz", **measured(sets))
    ranks = distributed.gather(rank)
    runs = [trained(0), trained(1), trained(0)]  # the last is a finished one
    shared.cached("both", tiny_run(), (), shared.__name__, use_of_all_sets)
    said = ""
    try:
        train.run(tiny_run(**CHANGES, **{"train.batch_tokens": 8}, seed=2), tiny_corpus())
    except UserError as error:
        said = str(error)
    pruned = trained(0, **PRUNED)
    sharded = train.run(tiny_run(**SHARDED), tiny_corpus())
    if rank == 0:
        pictures_made.digits()
    distributed.barrier()
    of_pictures = train.run(pictures_made.tiny_pictures(**JUDGED))
    of_spans = train.run(spans_made.tiny_spans(**CHANGES), spans_made.text())
    halfway, again = after_steps(3), after_steps(0)
    held = [distributed.whole(p).numel() / p.to_local().numel() for p in halfway.model.parameters()]
    resuming.save(halfway, out / "halfway", "")
    distributed.barrier()
    resuming.restore(again, out / "halfway")
    for trainer in (halfway, again):
        trainer.advance()
    pairs = zip(parameters(halfway).values(), parameters(again).values(), strict=True)
    facts = {
        "world": world,
        "ranks": ranks,
        "runs": [run.path.name for run in runs],
        "said": said,
        "sharded": sharded.path.name,
        "pruned": pruned.path.name,
        "of_pictures": of_pictures.path.name,
        "of_spans": of_spans.path.name,
        "held": held,
        "resumed": all([np.array_equal(one, other) for one, other in pairs]),
    }
    (out / f"facts-{rank}.json").write_text(json.dumps(facts))
