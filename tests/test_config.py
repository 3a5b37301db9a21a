"""A config is plain data that names one run; a wrong one stops with a sentence that says what to change."""

import ast
import copy
import dataclasses
import enum
import json
import math
import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures_core import tiny_run
from relusparsity import config as configs
from relusparsity import (
    corpus_config,
    encoder_decoder_config,
    fork_config,
    intervention_config,
    model_config,
    pictures_config,
    prune_config,
    scales,
    shapes,
    span_config,
    theory,
    vit_config,
)
from relusparsity.config import (
    CorpusConfig,
    MeasureConfig,
    ModelConfig,
    RunConfig,
    TrainConfig,
    from_dict,
    replace,
    to_dict,
)
from relusparsity.errors import UserError
from relusparsity.identity import NO_RESULT, run_id
from relusparsity.recipes import RECIPES
from relusparsity.store import renamed, results

WRONG = [
    (ModelConfig, {"d_ff": -1}, "ModelConfig.d_ff = -1: expected a number above 0"),
    (ModelConfig, {"n_layers": 0}, "n_layers = 0"),
    (ModelConfig, {"vocab_size": -5}, "vocab_size = -5"),
    (ModelConfig, {"embedding_std": 0.0}, "embedding_std = 0.0"),
    (ModelConfig, {"n_heads": 7}, "n_heads = 7 does not divide d_model = 64"),
    (ModelConfig, {"d_model": 12, "n_heads": 4}, "rotary positions need an even head size"),
    (CorpusConfig, {"vocab_size": 0}, "vocab_size = 0"),
    (CorpusConfig, {"tokenizer_bytes": -1}, "tokenizer_bytes = -1"),
    (CorpusConfig, {"heldout_share": 1.0}, "heldout_share = 1.0: expected a share between 0 and 1"),
    (TrainConfig, {"lr": 0.0}, "lr = 0.0"),
    (TrainConfig, {"lr": float("nan")}, "lr = nan"),
    (TrainConfig, {"tokens": -1024}, "tokens = -1024"),
    (TrainConfig, {"warmup": -1}, "warmup = -1: expected 0 or more"),
    (TrainConfig, {"clip": -1.0}, "clip = -1.0"),
    (TrainConfig, {"snapshots": -1}, "snapshots = -1"),
    (TrainConfig, {"weight_decay": -0.1}, "weight_decay = -0.1"),
    (TrainConfig, {"beta1": 1.0}, "beta1 = 1.0: expected at least 0 and below 1"),
    (TrainConfig, {"beta2": -0.1}, "beta2 = -0.1"),
    (TrainConfig, {"tokens": 1500}, "tokens = 1500 is not a multiple of batch_tokens = 1024; round it"),
    (TrainConfig, {"dead_after": 1500}, "dead_after = 1500 is not a multiple"),
    (TrainConfig, {"resume_every": 1500}, "resume_every = 1500 is not a multiple"),
    (MeasureConfig, {"points": 0}, "points = 0"),
    (MeasureConfig, {"final_sets": -64}, "final_sets = -64"),
    (RunConfig, {"seed": -1}, "seed = -1: expected 0 or more"),
    (RunConfig, {"model": {"seq_len": 48}}, "seq_len = 48 is not a power of two"),
    (RunConfig, {"model": {"seq_len": 2048}}, "batch_tokens = 1024 is not a multiple of seq_len = 2048"),
    (RunConfig, {"measure": {"set_tokens": 6400}}, "set_tokens = 6400 is not seq_len = 64 times a power of two"),
    (RunConfig, {"measure": {"set_tokens": 32}}, "set_tokens = 32 is not seq_len = 64 times a power of two"),
    (RunConfig, {"model": {"seq_len": 2}}, "set_tokens = 8192 is more than 2048 sequences of 2 tokens"),
    (RunConfig, {"model": {"vocab_size": 64}}, "corpus.vocab_size = 4096 but model.vocab_size = 64"),
    # what only a dict can get wrong
    (ModelConfig, {"d_modle": 64}, "ModelConfig has no field d_modle; it has n_layers, d_model"),
    (RunConfig, {"train": {"rate": 1, "beta": 2}}, "TrainConfig has no field beta, rate"),
    (RunConfig, {"model": 3}, "ModelConfig is given as 3: expected a table of fields"),
    (ModelConfig, {"d_model": "64"}, "ModelConfig.d_model = '64': expected int"),
    (ModelConfig, {"d_model": 64.0}, "ModelConfig.d_model = 64.0: expected int"),
    (ModelConfig, {"d_model": True}, "ModelConfig.d_model = True: expected int"),
    (ModelConfig, {"bias": 1}, "ModelConfig.bias = 1: expected bool"),
    (ModelConfig, {"activation": "swish"}, "ModelConfig.activation = 'swish': expected one of relu, gelu"),
    (TrainConfig, {"optimizer": "adam"}, "expected one of adamw, adafactor, sgd"),
    (CorpusConfig, {"paths": "some.txt"}, "CorpusConfig.paths = 'some.txt': expected a list or tuple of strings"),
    (CorpusConfig, {"paths": [3]}, "expected a list or tuple of strings"),
    (CorpusConfig, {"name": 3}, "CorpusConfig.name = 3: expected str"),
]


@pytest.mark.parametrize(("kind", "values", "sentence"), WRONG, ids=[sentence for *_, sentence in WRONG])
def test_a_wrong_value_is_one_clear_sentence(kind: type, values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=re.escape(sentence)) as caught:
        from_dict(kind, values)
    message = str(caught.value)
    assert "\n" not in message and message.endswith(".")


def test_a_scale_that_does_not_exist() -> None:
    with pytest.raises(
        UserError, match=r"there is no scale 'huge'; choose one of smoke, laptop, mid, wide, digits, fashion, spans\."
    ):
        scales.base("huge")
    for wrong in (3, None, ["smoke"], "x" * 5000):
        with pytest.raises(UserError, match="there is no scale"):
            scales.base(wrong)  # type: ignore[arg-type]
    for wrong in ("best", 3, ["first"]):
        with pytest.raises(UserError, match=r"there is no recipe .*; choose one of default, base, first, nearest"):
            scales.base("wide", recipe=wrong)  # type: ignore[arg-type]


def test_words_of_earlier_versions_mean_a_shape_and_a_recipe() -> None:
    for word, (scale, recipe) in renamed.WORDS.items():
        assert scales.names(word) == (scale, recipe) and scales.base(word, 3) == scales.base(scale, 3, recipe)
    assert scales.names("paper", "modern") == ("wide", "modern")
    with pytest.raises(UserError, match="there is no recipe ''"):
        scales.names("paper", "")


def test_a_recipe_is_the_same_at_every_shape() -> None:
    for recipe, scale in product(RECIPES, shapes.SHAPES):
        run, how = scales.base(scale, recipe=recipe), RECIPES[recipe]
        shape = shapes.SHAPES[scale]
        assert (run.model.d_ff, run.corpus) == (shape.model.d_ff, shape.corpus)
        assert run.train.tokens == int(how.longer * shape.train.steps) * shape.train.batch_tokens
        assert all(getattr(getattr(run, f.partition(".")[0]), f.partition(".")[2]) == v for f, v in how.changes.items())


@pytest.mark.parametrize("scale", list(shapes.SHAPES))
def test_every_scale_is_a_valid_run_that_survives_json(scale: str) -> None:
    config = scales.base(scale, seed=2)
    assert config.seed == 2
    assert from_dict(RunConfig, json.loads(json.dumps(to_dict(config)))) == config


def test_a_killed_run_of_wide_loses_a_quarter_at_most() -> None:
    run = scales.base("wide").train
    assert run.tokens == 4 * run.resume_every


def test_text_of_ones_own_replaces_the_hub_at_gpu_scales(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELUSPARSITY_TEXT", str(tmp_path))
    assert scales.base("laptop") == shapes.SHAPES["laptop"]
    with pytest.raises(UserError, match=r"lacks .*english-val.jsonl.xz, .*c4-eval.jsonl.xz, .*english-0"):
        scales.base("wide")
    for absurd in ("x" * 5000, "/not/there", "~nosuchuser/text", str(Path(scales.__file__) / "inside a file")):
        monkeypatch.setenv("RELUSPARSITY_TEXT", absurd)
        with pytest.raises(UserError, match=r"lacks english-val.jsonl.xz, c4-eval.jsonl.xz, english-0.jsonl.xz; unset"):
            scales.base("wide")
    monkeypatch.setenv("RELUSPARSITY_TEXT", str(tmp_path))
    for name in ("english-0", "english-1", "english-val", "c4-eval"):
        (tmp_path / f"{name}.jsonl.xz").touch()
    corpus = scales.base("wide").corpus
    assert [Path(path).name for path in corpus.paths] == ["english-0.jsonl.xz", "english-1.jsonl.xz"]
    assert [Path(path).name for path in corpus.heldout_paths] == ["english-val.jsonl.xz", "c4-eval.jsonl.xz"]
    for run in (scales.base("spans"), scales.spans("spans", 3)):
        assert run.corpus == dataclasses.replace(shapes.SPANS["spans"].corpus, text=corpus), "cut out of the same text"
    assert scales.spans("smoke") == shapes.SPANS["smoke"] and scales.base("fashion") == shapes.PICTURES["fashion"]


def test_the_environment_overrides_the_live_scale_aloud(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RELUSPARSITY_SCALE", raising=False)
    assert scales.live("laptop") == "laptop" and not capsys.readouterr().out
    monkeypatch.setenv("RELUSPARSITY_SCALE", "smoke")
    assert scales.live("laptop") == "smoke"
    assert capsys.readouterr().out == "RELUSPARSITY_SCALE asks for smoke instead of laptop\n"
    monkeypatch.setenv("RELUSPARSITY_SCALE", "tiny")
    with pytest.raises(UserError, match="there is no scale 'tiny'"):
        scales.live("laptop")


# The id


def leaves(config: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """Every field of a config by dotted name."""
    out: list[tuple[str, Any]] = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        name = prefix + field.name
        out += leaves(value, f"{name}.") if dataclasses.is_dataclass(value) else [(name, value)]
    return out


def test_the_id_depends_on_every_field_that_decides_a_result() -> None:
    """Fields are changed behind the checks, so that none is left out because its change would be refused."""
    ids = {run_id(tiny_run(), "corpus")}
    decide = [(name, value) for name, value in leaves(tiny_run()) if not name.startswith("corpus.")]
    decide = [(name, value) for name, value in decide if name not in NO_RESULT]
    for name, value in decide:
        changed: Any = copy.deepcopy(tiny_run())
        *folders, last = name.split(".")
        place = changed
        for folder in folders:
            place = getattr(place, folder)
        object.__setattr__(place, last, value + 1 if isinstance(value, int | float) else "something else")
        ids.add(run_id(changed, "corpus"))
    assert len(ids) == 1 + len(decide)


def test_an_integer_for_a_float_names_the_same_run() -> None:
    plain = to_dict(tiny_run(**{"train.clip": 1.0}))
    plain["train"]["clip"] = 1
    assert run_id(from_dict(RunConfig, plain), "") == run_id(tiny_run(**{"train.clip": 1.0}), "")


class Activation(str, enum.Enum):  # noqa: UP042 – as users write it, whose str() is its name
    relu = "relu"


def test_a_choice_and_a_zero_have_one_spelling() -> None:
    assert ModelConfig(activation=Activation.relu).activation is ModelConfig().activation  # type: ignore[arg-type]
    assert math.copysign(1, TrainConfig(clip=-0.0).clip) == 1


# Changing


def test_replace_reaches_into_a_config() -> None:
    plain = tiny_run()
    changed = replace(plain, **{"model.d_ff": 32, "model.tied": False, "train.lr": 0.5, "seed": 7})
    assert (changed.model.d_ff, changed.model.tied, changed.train.lr, changed.seed) == (32, False, 0.5, 7)
    assert changed.measure == plain.measure and changed.model.d_model == plain.model.d_model
    assert plain == tiny_run(), "the original stays"
    assert replace(plain, measure=MeasureConfig(set_tokens=64)).measure.points == 50
    with pytest.raises(UserError, match="RunConfig has no field sede; it has "):
        replace(plain, sede=3)
    with pytest.raises(UserError, match="ModelConfig has no field dff"):
        replace(plain, **{"model.dff": 3})
    with pytest.raises(UserError, match="d_ff = -3"):
        replace(plain, **{"model.d_ff": -3})


@settings(deadline=None, derandomize=True, max_examples=50)
@given(
    st.builds(
        TrainConfig,
        tokens=st.integers(1, 50).map(lambda n: n * 1024),
        optimizer=st.sampled_from(["adamw", "sgd"]),
        lr=st.floats(1e-9, 1e3),
        compile=st.booleans(),
    )
)
def test_a_config_comes_back_from_json(config: TrainConfig) -> None:
    assert from_dict(TrainConfig, json.loads(json.dumps(to_dict(config)))) == config
    assert config.steps * config.batch_tokens == config.tokens


def test_configs_cannot_be_changed_in_place() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        tiny_run().seed = 3  # type: ignore[misc]


def test_every_field_says_what_it_is() -> None:
    """A sentence below each field; the five parts of a run are described by their classes."""
    models, tasks = (model_config, encoder_decoder_config, vit_config), (corpus_config, span_config, pictures_config)
    parts = (*models, *tasks, theory, fork_config, intervention_config, prune_config)
    bare = []
    for node in (each for module in (configs, *parts) for each in ast.parse(Path(module.__file__).read_text()).body):
        if isinstance(node, ast.ClassDef) and node.decorator_list:  # what is no dataclass has no fields of its own
            for i, each in enumerate(node.body):
                following = node.body[i + 1] if i + 1 < len(node.body) else None
                if isinstance(each, ast.AnnAssign) and not isinstance(following, ast.Expr):
                    bare.append(ast.unparse(each.target))
    assert bare == ["model", "corpus", "train", "measure"]


def test_the_directory_of_runs_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELUSPARSITY_RUNS", str(tmp_path))
    assert results.runs_dir() == tmp_path
    monkeypatch.delenv("RELUSPARSITY_RUNS")
    root = results.checkout()
    assert root is not None and results.runs_dir() == root / "runs"
    monkeypatch.setattr(results, "_CHECKOUT", tmp_path)  # installed, not cloned
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert results.runs_dir() == tmp_path / "cache" / "relusparsity"
    with pytest.raises(UserError, match="recorded datasets lie in a clone of the repository"):
        results.data_dir()
    monkeypatch.setattr(results, "_INSTALLED", tmp_path)  # by a wheel, which carries them
    assert results.data_dir() == tmp_path
