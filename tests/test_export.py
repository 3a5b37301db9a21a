"""Models of ours as transformers loads them: equal logits and firings, or a sentence that names the field."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from fixtures_core import tiny_run
from model_made import SHAPE, assert_same_logits, shaken, tokens
from relusparsity import train
from relusparsity.__main__ import main
from relusparsity.config import ModelConfig
from relusparsity.errors import UserError
from relusparsity.measure import export
from relusparsity.store import results

pytestmark = pytest.mark.usefixtures("undrawn")

EXACT: list[tuple[str, dict[str, Any]]] = [
    ("opt", {"positions": "learned"}),
    ("opt", {"positions": "learned", "norm_place": "post", "tied": False}),
    ("opt", {"positions": "sinusoidal", "bias": False}),
    ("opt", {"positions": "none", "activation": "gelu"}),
    ("gpt_neox", {"positions": "rotary"}),
    ("gpt_neox", {"positions": "rotary", "norm_place": "parallel", "bias": False, "tied": False}),
    ("arcee", {"positions": "rotary", "norm": "rmsnorm", "bias": False}),
    ("arcee", {"positions": "rotary", "norm": "rmsnorm", "tied": False}),
]


@torch.no_grad()
@pytest.mark.parametrize(
    ("kind", "fields"), EXACT, ids=[f"{kind}-{'-'.join(map(str, of.values()))}" for kind, of in EXACT]
)
def test_transformers_loads_the_same_function(kind: str, fields: dict[str, Any], tmp_path: Path) -> None:
    config = ModelConfig(**SHAPE, **fields)
    ours = shaken(config)
    export.converted(ours).save_pretrained(tmp_path)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    assert theirs.config.model_type == kind
    text = tokens(config)
    assert_same_logits(ours(text), theirs(text).logits)
    assert_same_logits(ours(text[:, :5]), theirs(text[:, :5]).logits)
    matrices = ["fc1", "dense_h_to_4h", "up_proj"]
    first = [of for name, of in theirs.named_parameters() if any(f"{each}.weight" in name for each in matrices)]
    for mlp, weight in zip(ours.mlps(), first, strict=True):
        assert torch.equal(mlp.fc_in.weight, weight), "unit by unit, so that firings can be compared"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"d_ff": (40, 32, 40)},
            r"model\.d_ff: the layers have .*32.* hidden units, and no architecture .*unlike layers",
        ),
        ({"embedding_norm": True}, r"model\.embedding_norm = True: no architecture"),
        ({"attention": "sink"}, r"model\.attention = sink: no architecture"),
        ({"logit_scale": 0.25}, r"model\.logit_scale = 0\.25: no architecture"),
        ({"activation": "topk", "top_k": 5}, r"model\.top_k = 5: no architecture"),
        (
            {"norm_place": "post"},
            r"model\.norm_place = post with norm = layernorm and positions = rotary: no architect",
        ),
        ({"norm": "rmsnorm", "positions": "learned"}, r"norm = rmsnorm and positions = learned: no architecture"),
    ],
)
def test_what_no_architecture_is_is_refused_by_the_field(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said) as refused:
        export.converted(shaken(ModelConfig(**SHAPE | fields)))
    assert str(refused.value).count(". ") == 0, "one sentence"


def test_another_function_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a version of transformers rotated other pairs: its logits are compared before anything is written."""
    ours = shaken(ModelConfig(**SHAPE, positions="rotary"))
    monkeypatch.setattr(transformers.models.gpt_neox.modeling_gpt_neox, "rotate_half", lambda x: x)
    with pytest.raises(UserError, match="computes something else than this model"):
        export.converted(ours)


# A run, from the command line


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> train.Run:
    """A finished run on text files, of which it has a tokenizer of 300 types."""
    folder = tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("aeioubdklmnrst"), 5)) for _ in range(80)]
    with (folder / "text.jsonl").open("w") as file:
        for _ in range(300):
            file.write(json.dumps({"text": " ".join(rng.choice(words, 30))}) + "\n")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("RELUSPARSITY_RUNS", str(folder))
        source = {"corpus.paths": (str(folder / "text.jsonl"),), "corpus.vocab_size": 300, "model.vocab_size": 300}
        return train.run(tiny_run(**source, **{"corpus.heldout_share": 0.2}))


def test_an_exported_run_is_measured_as_the_run_itself(
    run: train.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RELUSPARSITY_RUNS", str(run.path.parent))
    out = tmp_path / "exported"
    assert main(["export", str(run.path), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}\n" and {*export.FILES} <= set(os.listdir(out))
    counted = []
    for name, model in (("run", run.path), ("export", out)):
        words = str(run.path.parent / "text.jsonl")
        command = ["measure", str(model), "--text", words, "--tokens", "512", "--out", str(tmp_path / name)]
        assert main([*command, "--seq_len", "8"]) == 0
        counted.append(results.load(tmp_path / name / "dataset.nc"))
    ours, theirs = counted
    assert 0 < int((ours["firing_count"] > 0).sum()) < ours["firing_count"].size
    np.testing.assert_array_equal(theirs["firing_count"], ours["firing_count"])
    assert float(theirs["final_loss"].item()) == pytest.approx(float(ours["final_loss"].item()), rel=1e-5)
    assert main(["export", str(run.path), "--out", str(out)]) == 2
    assert "is not empty; name another folder" in capsys.readouterr().err
    assert not list(tmp_path.glob(".relu*")), "nothing half written is left"
    assert main(["export", str(tmp_path), "--out", str(tmp_path / "more")]) == 2
    assert "is no training run; give a run's folder" in capsys.readouterr().err
