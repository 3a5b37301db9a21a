"""A variant of a model is a file: what trains and measures asks for nothing but `models.Model`, of any widths."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import relusparsity
from fixtures_core import tiny_corpus, tiny_model, tiny_run
from relusparsity import config, corpora, identity, interventions, train
from relusparsity.errors import UserError
from relusparsity.intervention_config import InterventionConfig
from relusparsity.models import Decoder, Model, checked, kinds
from relusparsity.models.decoder import initialise
from relusparsity.models.feedforward import MLP
from relusparsity.train import Trainer, evaluate
from relusparsity.train.step import Objective


@dataclass(frozen=True)
class NarrowingConfig(config.ModelConfig):
    """A decoder whose layers have fewer units, one after the other."""


class Narrowing(Decoder):
    def __init__(self, config: NarrowingConfig) -> None:
        super().__init__(config)
        for layer, block in enumerate(self.blocks):
            block.mlp = MLP(replace(config, d_ff=config.d_ff >> layer), layer)


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch) -> Trainer:
    monkeypatch.setattr(kinds, "KINDS", {**kinds.KINDS, NarrowingConfig: (Narrowing, initialise)})
    model = NarrowingConfig(**{**vars(tiny_model()), "d_ff": 24})
    return Trainer(replace(tiny_run(), model=model), tiny_corpus(), torch.device("cpu"))


def masks(model: Model, tokens: torch.Tensor) -> list[np.ndarray]:
    """Where the units of each layer fire, kept: (sequence, position, unit) each."""
    kept: list[np.ndarray] = []
    with torch.no_grad():
        model.predict(tokens, observe=lambda _layer, _x, _z, a: kept.append((a > 0).numpy()))
    return kept


def test_a_run_of_another_kind_has_a_name_of_its_own() -> None:
    run = tiny_run()
    other = replace(run, model=NarrowingConfig(**vars(run.model)))
    assert identity.changed(other) == identity.changed(run) | {"model.__class__.__name__": "NarrowingConfig"}
    assert identity.run_id(other, "text") != identity.run_id(run, "text")


def test_a_run_of_another_kind_is_the_same_after_json() -> None:
    run = replace(tiny_run(), model=NarrowingConfig(**vars(tiny_model())))
    said = json.loads(json.dumps(config.to_dict(run)))
    assert config.from_dict(config.RunConfig, said) == run and said["model"].pop("class") == "NarrowingConfig"
    assert config.from_dict(config.RunConfig, said).model == tiny_model(), "without it, the usual kind"
    for name in ("TrainConfig", "Trainer", ["x"]):
        with pytest.raises(UserError, match=r"^there is no .* here; expected one of ModelConfig, .*NarrowingConfig"):
            config.from_dict(config.RunConfig, said | {"model": said["model"] | {"class": str(name)}})


def test_layers_of_different_widths_are_trained_and_counted(trainer: Trainer) -> None:
    model, run = trainer.model, trainer.config
    assert model.widths() == [24, 12]
    last, firings, batch = [np.zeros(24), np.zeros(12)], np.zeros(2), run.train.batch_tokens
    for step in range(4):
        tokens = corpora.batch(trainer.corpus.train, run.model.seq_len, trainer.sequences, run.seed, step)
        for layer, fired in enumerate(masks(model, torch.from_numpy(tokens))):
            last[layer][fired.any((0, 1))] = (step + 1) * batch
            firings[layer] += fired.sum()
        loss, _ = trainer.advance()
        assert torch.isfinite(loss)
    np.testing.assert_array_equal(trainer.deaths.stream_firings, firings)
    for ours, theirs in zip(trainer.deaths.rows(trainer.deaths.last_fired), last, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_layers_of_different_widths_are_measured_and_watched(trainer: Trainer) -> None:
    sequences = corpora.heldout_sequences(trainer.corpus.heldout, 8)[:16]
    seen = evaluate.measure(trainer.model, sequences, 4, drift_units=[[0, 5], [0, 5]])
    kept = masks(trainer.model, torch.from_numpy(sequences.astype(np.int64)))
    np.testing.assert_allclose(seen.use.token_use(), [fired.mean() for fired in kept])
    in_sets = [[fired[at : at + 4].any((0, 1)).mean() for fired in kept] for at in range(0, 16, 4)]
    np.testing.assert_allclose(seen.batch_use, in_sets)
    with relusparsity.track(trainer.model) as use, torch.no_grad():
        trainer.model.predict(torch.from_numpy(sequences.astype(np.int64)))
    assert [layer.unit_tokens.tolist() for layer in use.counts()] == [fired.sum((0, 1)).tolist() for fired in kept]


def test_an_intervention_is_into_a_decoder_only(trainer: Trainer) -> None:
    treatment = InterventionConfig("centre", 1)
    assert interventions.treat(trainer.model, treatment) is trainer.model

    class Other(Model):
        def mlps(self) -> list:
            return []

        def predict(self, *batch: torch.Tensor, observe=None, count=None) -> tuple:  # type: ignore[no-untyped-def]
            return batch

    with pytest.raises(UserError, match="blocks of a decoder, and Other is none"):
        interventions.treat(Other(), treatment)
    assert interventions.treat(other := Other(), InterventionConfig()) is other


class Wide(Decoder):
    def __init__(self, config: config.ModelConfig) -> None:
        super().__init__(config)
        self.blocks[1].mlp = MLP(replace(config, d_ff=2 * config.d_ff), 1)


class Ragged(Decoder):
    def __init__(self, config: config.ModelConfig) -> None:
        super().__init__(config)
        self.blocks[1].mlp.fc_out = nn.Linear(2 * config.d_ff, config.d_model)


class NoLayers(Decoder):
    def mlps(self) -> list:
        return []


class NoHidden(Decoder):
    def mlps(self) -> list:
        return [block.attention for block in self.blocks]


class Unfinished(Model):
    pass


def predicting(change: Callable[[Any], Any]) -> type[Decoder]:
    """A decoder whose predict gives something else."""

    class Predicting(Decoder):
        def predict(self, *batch: torch.Tensor, observe: Any = None, count: Any = None) -> Any:
            return change(super().predict(*batch, observe=observe, count=count))

    return Predicting


def telling(observe: Callable[..., Any] | None = None, count: Callable[..., Any] | None = None) -> type[Decoder]:
    """A decoder whose predict calls observe or count otherwise, at most for what these functions give."""

    class Telling(Decoder):
        def predict(self, *batch: torch.Tensor, **given: Any) -> Any:
            changed = dict(given)
            for name, change in (("observe", observe), ("count", count)):
                if change and given.get(name):
                    changed[name] = lambda *told, say=given[name], change=change: [say(*each) for each in change(*told)]
            return super().predict(*batch, **changed)

    return Telling


class Alone(Decoder):
    def predict(self, tokens: torch.Tensor) -> Any:  # type: ignore[override]
        return super().predict(tokens)


VIOLATIONS: list[tuple[Any, str]] = [
    (Wide, "the layers of Wide have 16 and 32 hidden units, the run's configuration says 16 and 16"),
    (Ragged, "layer 1 of Ragged.mlps has 16 units by fc_in and 32 by fc_out"),
    (NoLayers, "NoLayers.mlps gives an empty list: expected a list of its layers"),
    (NoHidden, "layer 0 of NoHidden.mlps has no fc_in and fc_out"),
    (Unfinished, "Unfinished lacks mlps and predict, which models.Model asks for"),
    (lambda config: nn.Linear(2, 2), "makes a Linear: expected a class of models.Model"),
    (Alone, "Alone.predict cannot be called with a batch, observe and count"),
    (predicting(lambda both: both[0]), "gives a Tensor: expected two tensors, logits and targets"),
    (predicting(lambda both: (*both, both[0])), "gives a tuple: expected two tensors"),
    (predicting(lambda both: None), "gives a NoneType: expected two tensors"),
    (predicting(lambda both: (both[0][:, :-1], both[1])), r"gives logits \(2, 7, \d+\) and targets \(2, 8\): expected"),
    (predicting(lambda both: (both[0], both[1][..., None])), r"and targets \(2, 8, 1\): expected"),
    (predicting(lambda both: (both[0][:, :0], both[1][:, :0])), "and something to predict"),
    (predicting(lambda both: (both[0], both[1].float())), "targets of torch.float32: expected"),
    (predicting(lambda both: (both[0].long(), both[1])), "gives logits of torch.int64"),
    (predicting(lambda both: (both[0], both[1] + 10**6)), "expected those of its .* classes, from 0"),
    (predicting(lambda both: (both[0], both[1] - 10**6)), "gives targets from -"),
    (telling(count=lambda *told: []), r"calls count for the layers \[\]: expected once for each of \[0, 1\]"),
    (telling(count=lambda *told: [told, told]), r"calls count for the layers \[0, 0, 1, 1\]"),
    (telling(count=lambda layer, k: [(1 - layer, k)]), r"calls count for the layers \[1, 0\]: .* in this order"),
    (telling(observe=lambda *told: []), r"calls observe for the layers \[\]"),
    (telling(observe=lambda layer, *told: [(0, *told)]), r"calls observe for the layers \[0, 0\]"),
    (telling(observe=lambda layer, x, z, a: [(layer, x, a)]), "observes 2 values: expected three tensors"),
    (telling(observe=lambda layer, x, z, a: [(layer, x, z, a[0])]), "expected three tensors"),
    (telling(observe=lambda layer, x, z, a: [(layer, z, x, a)]), r"layer 0, observes the shapes .*: expected"),
    (telling(observe=lambda layer, *told: [(layer, *(x[:, 1:] for x in told))]), "observes the shapes"),
    (telling(count=lambda layer, k: [(layer, k.float())]), "counts in torch.float32: expected whole numbers"),
    (telling(count=lambda layer, k: [(layer, k.sum(0))]), r"counts by \(16,\): expected \(sequence, unit\)"),
    (telling(count=lambda layer, k: [(layer, k + 1)]), "counts other firings than it observes"),
]


@pytest.mark.parametrize(("kind", "says"), VIOLATIONS)
def test_a_model_that_is_none_is_refused_in_a_sentence(
    kind: Any, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dataclass(frozen=True)
    class OwnConfig(config.ModelConfig):
        pass

    def initialised(model: Any, seed: int) -> Any:
        return initialise(model, seed) if isinstance(model, Decoder) else model

    monkeypatch.setenv("RELUSPARSITY_RUNS", str(tmp_path))
    monkeypatch.setattr(kinds, "KINDS", {**kinds.KINDS, OwnConfig: (kind, initialised)})
    model = OwnConfig(**vars(tiny_model()))
    with pytest.raises(UserError, match=says) as refused:
        train.run(replace(tiny_run(), model=model), tiny_corpus())
    assert "\n" not in str(refused.value) and not list(tmp_path.rglob("*.nc"))


def test_a_configuration_without_a_model_is_refused() -> None:
    @dataclass(frozen=True)
    class Unknown(config.ModelConfig):
        pass

    with pytest.raises(UserError, match=r"no model is made of a Unknown; models/kinds.py has ModelConfig"):
        kinds.bare(Unknown(**vars(tiny_model())))


def test_a_check_leaves_a_model_as_it_was() -> None:
    model = kinds.build(tiny_model(), 0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.random.get_rng_state()
    checked.check(model, torch.zeros(2, 9, dtype=torch.int64))
    assert model.training and torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


class Patches(Model):
    """Another task: patches of a picture (B, T, C), read by two layers of different widths, are told a class each."""

    def __init__(self, config: config.ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.blocks = nn.ModuleList(MLP(replace(config, d_ff=config.d_ff << layer), layer) for layer in range(2))
        self.head = nn.Linear(config.d_model, 5)

    def mlps(self) -> list:
        return list(self.blocks)

    def predict(self, *batch: torch.Tensor, observe=None, count=None) -> tuple:  # type: ignore[no-untyped-def]
        x, classes = batch
        for block in self.blocks:
            x = x + block(x, observe, count)
        return self.head(x.mean(1)), classes


def test_a_model_of_another_task_is_checked_and_gives_its_loss_and_counts() -> None:
    torch.manual_seed(0)
    of = tiny_model()
    model = Patches(of)
    x, classes = torch.randn(6, of.seq_len, of.d_model), torch.tensor([0, 1, 2, 3, 4, 0])
    checked.check(model, x, classes)
    with pytest.raises(UserError, match=r"targets from 1 to 5: expected those of its 5 classes"):
        checked.check(model, x, classes + classes.eq(0) * 5)
    objective = Objective(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    losses = []
    for _ in range(20):
        loss, unit_tokens, firings, sequence_units = objective(x, classes)
        expected = nn.functional.cross_entropy(model.predict(x, classes)[0], classes)
        torch.testing.assert_close(loss, expected)
        kept: list[torch.Tensor] = []
        model.predict(x, classes, observe=lambda _layer, _x, _z, a, kept=kept: kept.append(a > 0))
        assert torch.equal(unit_tokens, torch.cat([fired.sum((0, 1)) for fired in kept]))
        assert firings.tolist() == [int(fired.sum()) for fired in kept]
        assert sequence_units.tolist() == [int(fired.any(1).sum()) for fired in kept]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert model.widths() == [of.d_ff, 2 * of.d_ff] and losses[-1] < losses[0]
