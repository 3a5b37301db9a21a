"""Shapes of models that are no decoders: asked for by what they read, and as large as a claim asks."""

import re
from collections.abc import Callable

import pytest
import torch

from relusparsity import distributed, scales, shapes
from relusparsity.book import planned
from relusparsity.config import RunConfig, replace
from relusparsity.errors import UserError
from relusparsity.models import build


def test_a_shape_is_the_run_of_its_table() -> None:
    assert scales.spans("spans", 2) == scales.base("spans", 2) == replace(shapes.SPANS["spans"], seed=2)
    assert scales.pictures("fashion") == scales.base("fashion") == shapes.PICTURES["fashion"]
    every = {name for table in shapes.TABLES.values() for name in table}
    assert set(scales.EVERY) == every and scales.EVERY["smoke"] == scales.base("smoke") == shapes.SHAPES["smoke"]
    assert scales.spans("smoke") == shapes.SPANS["smoke"] and scales.pictures("smoke") == shapes.PICTURES["smoke"]
    assert shapes.title("spans") == "Spans" and shapes.title("tracked") == "tracked"


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda: scales.spans("wide"), "scale wide has no text with spans cut out; those that have are smoke, spans."),
        (lambda: scales.pictures("spans"), "scale spans has no pictures; those that have are smoke, digits, fashion."),
        (lambda: scales.names("spans"), "scale spans has no text for a decoder; those that have are smoke, laptop, "),
        (lambda: scales.base("spans", 0, "first"), "scale spans has no text for a decoder, which recipe first is a wa"),
        (lambda: scales.spans("huge"), "there is no scale 'huge'; choose one of smoke, laptop, mid, wide, digits, fas"),
    ],
)
def test_a_shape_that_reads_something_else_is_refused(ask: Callable[[], RunConfig], said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)) as refused:
        ask()
    assert "\n" not in str(refused.value) and str(refused.value).endswith(".")


def test_the_encoder_decoder_is_as_large_and_trains_as_long_as_row_20_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    run = scales.spans("spans")
    assert sum(weights.numel() for weights in build(run.model, 0).parameters()) >= 60_000_000
    assert run.train.tokens >= 200_000_000 and run.model.layer_names[0] == "encoder 0"
    monkeypatch.setattr(distributed, "device", lambda: torch.device("cuda"))
    assert planned.seconds(run) < 600, "ten minutes on one GPU"
