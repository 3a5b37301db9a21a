"""What test_track starts in a process of its own: a model wrapped for data-parallel training is tracked and trained."""

import sys

import torch
from torch import nn

import relusparsity
from any_models import build, inputs, names, stored
from track_made import assert_counts, shaped

if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{sys.argv[1]}", rank=0, world_size=1)
    model = nn.parallel.DistributedDataParallel(build("opt"))
    with stored(model, [f"module.{name}" for name in names("opt")]) as kept, relusparsity.track(model) as use:
        model(**inputs("opt")).logits.sum().backward()
    for layer, activations in zip(use.gather().counts(), kept, strict=True):
        assert_counts(layer, shaped(activations, 3) > 0)
    print("counted", [layer.tokens for layer in use.counts()], flush=True)
    del model, use  # before the group that they hold on to
    torch.distributed.destroy_process_group()
