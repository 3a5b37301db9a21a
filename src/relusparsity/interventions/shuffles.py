"""A control of what training made: the same weights in random order."""

import torch
from torch import nn


def shuffled(model: nn.Module, seed: int = 0) -> nn.Module:
    """The model with the numbers of each of its matrices in random order: as large, and nothing learnt. In place."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                order = torch.randperm(parameter.numel(), generator=generator)
                parameter.copy_(parameter.flatten()[order].view_as(parameter))
    return model
