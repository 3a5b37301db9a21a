"""The residual stream of several widths: what the shapes share, and what is kept of each."""

import numpy as np
import pytest

from relusparsity import results, scales
from relusparsity.config import replace, to_dict
from relusparsity.errors import UserError
from relusparsity.experiments import capacity, layer_patterns, residual_stream


@pytest.mark.parametrize("scale", residual_stream.SHAPES)
def test_shapes_differ_in_stream_and_units_alone(scale: str) -> None:
    runs = residual_stream.config(scale).runs
    for (d_model, d_ff), run in zip(residual_stream.SHAPES[scale], runs, strict=True):
        assert (run.model.d_model, run.model.d_ff) == (d_model, d_ff)
        assert run.model.d_model / run.model.n_heads == runs[0].model.d_model / runs[0].model.n_heads, "size of a head"
        same = {f"model.{name}": getattr(runs[0].model, name) for name in ("d_model", "d_ff", "n_heads")}
        assert replace(run, **same) == runs[0]
    assert len(set(runs)) == len(runs)
    assert (runs[0].model, runs[0].train.tokens) == (scales.base(scale).model, scales.base(scale).train.tokens)


def test_the_quarter_reads_what_the_widths_read() -> None:
    first = residual_stream.config("factorial").runs[0]
    assert first == layer_patterns.config("factorial").runs[0]
    assert {run.seed for run in capacity.config("factorial").others} == {first.seed}


def test_another_scale_is_refused() -> None:
    with pytest.raises(UserError, match="huge"):
        residual_stream.config("huge")


def test_shapes_are_kept_by_name() -> None:
    dataset = residual_stream.run(residual_stream.config("smoke"))
    assert dataset["batch_use"].dims == ("recipe", "seed", "step", "layer")
    assert dataset["recipe"].values.tolist() == ["stream 16, 64 units", "stream 8, 64 units", "stream 32, 64 units"]
    configs = results.provenance(dataset)["configs"]
    assert [configs[name]["model"]["d_model"] for name in dataset["recipe"].values] == [16, 8, 32]
    assert np.isfinite(dataset["final_loss"]).all()


def test_recorded_shapes_read_the_text_and_keep_the_recipe_of_their_scale() -> None:
    for scale in residual_stream.RECORDED:
        dataset = results.recorded("residual_stream", scale)
        configs = results.provenance(dataset)["configs"]
        assert dataset["recipe"].values.tolist() == list(residual_stream.changes(scale))
        for name, run in zip(residual_stream.changes(scale), residual_stream.config(scale).runs, strict=True):
            made, kept = to_dict(run), configs[name]
            assert (made["model"], made["measure"], made["seed"]) == (kept["model"], kept["measure"], kept["seed"])
            same = {"resume_every": made["train"]["resume_every"]}  # states to go on from change no result
            assert made["train"] == kept["train"] | same
