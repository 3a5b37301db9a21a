"""A variant of a model is a file: what trains and measures asks for nothing but `models.Model`, of any widths."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

import relusparsity
from fixtures_core import tiny_corpus, tiny_model, tiny_run
from relusparsity import config, corpora, interventions
from relusparsity.errors import UserError
from relusparsity.intervention_config import InterventionConfig
from relusparsity.models import Decoder, Model, kinds
from relusparsity.models.decoder import MLP, initialise
from relusparsity.train import Trainer, evaluate


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
    seen = evaluate.measure(trainer.model, sequences, 4, drift_units=[0, 5])
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
