"""Runs on text with spans cut out: both stacks counted by own tokens, resumed to the bit, forked, shrunk, named."""

import json
import math
import re
from dataclasses import replace as changed
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from fixtures_core import made_up_text, tiny_corpus, tiny_model, tiny_run
from pictures_made import tiny_pictures
from relusparsity import corpora, identity, train
from relusparsity.config import CorpusConfig, RunConfig, from_dict, replace, to_dict
from relusparsity.corpora import spans, tasks
from relusparsity.errors import UserError
from relusparsity.measure import runs
from relusparsity.models import EncoderDecoder
from relusparsity.span_config import SpanConfig, SpanCorpusConfig
from relusparsity.store import ondisk, results, sealed
from relusparsity.store.schema import OF_TEXT
from relusparsity.train import golden, resuming
from spans_made import SPANS, text, tiny_spans
from test_vit_runs import same_to_the_bit

pytestmark = pytest.mark.usefixtures("one_thread")
OWN = np.array([16, 5, 5])
"""Positions of a sequence, by layer."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("spans")


@pytest.fixture(autouse=True)
def there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELUSPARSITY_RUNS", str(folder))


def trained(**changes: Any) -> train.Run:
    config = tiny_spans(**changes)
    return train.run(config, text(config.corpus))


def predicted(run: train.Run, sequences: int) -> tuple[list[np.ndarray], float, float]:
    """Where each layer fires (sequence, position, unit), loss and accuracy on held-out text; by hooks, at once."""
    lengths = SpanConfig(sentinels=2).lengths(16)
    ids = spans.Ids(types=64, eos=0, sentinels=2)
    read = [torch.from_numpy(each[:sequences]) for each in spans.heldout(made_up_text(600, 1), lengths, ids)]
    model: Any = run.model()
    kept: list[np.ndarray] = []
    for mlp in model.mlps():
        mlp.fc_out.register_forward_hook(lambda _m, given, _o: kept.append((given[0] > 0).numpy()))
    with torch.no_grad():
        logits = model(*read[:2])
    right = float((logits.argmax(-1) == read[2]).double().mean())
    return kept, float(F.cross_entropy(logits.flatten(0, 1), read[2].flatten())), right


def test_its_dataset_says_what_the_model_does_on_held_out_text() -> None:
    run = trained()
    data, (fired, loss, accuracy) = run.dataset, predicted(run, 24)
    assert [of.shape for of in fired] == [(24, own, 32) for own in OWN]
    np.testing.assert_array_equal(data.final_firing_count, [of.sum((0, 1)) for of in fired])
    np.testing.assert_array_equal(data.final_sequences_fired, [of.any(1).sum(0) for of in fired])
    np.testing.assert_allclose(data.final_token_use, [of.mean() for of in fired], rtol=1e-6)
    np.testing.assert_allclose(data.final_sequence_use, [of.any(1).mean() for of in fired], rtol=1e-6)
    in_sets = [[of[at : at + 8].any((0, 1)).mean() for of in fired] for at in range(0, 24, 8)]
    np.testing.assert_allclose(data.final_batch_use, in_sets)
    for layer, (of, own) in enumerate(zip(fired, OWN, strict=True)):
        np.testing.assert_allclose(data.position_use[layer, :own], of.mean((0, 2)), rtol=1e-6)
        assert data.position_use[layer, own:].isnull().all()
    assert float(data.final_loss) == pytest.approx(loss, rel=1e-5)
    assert float(data.final_accuracy) == pytest.approx(accuracy)
    _, loss, accuracy = predicted(run, 16)
    assert float(data.heldout_loss[-1]) == pytest.approx(loss, rel=1e-5) and loss < data.heldout_loss[0] - 0.5
    assert not set(OF_TEXT) & set(data), "targets are not the text"


def test_its_layers_have_names_and_windows_of_their_own_tokens() -> None:
    data = trained().dataset
    assert data.layer_name.values.tolist() == ["encoder 0", "decoder 0", "decoder 1"]
    np.testing.assert_array_equal(data.layer_positions, OWN)
    np.testing.assert_array_equal(data.window_tokens[0], data.window)
    np.testing.assert_array_equal(data.window_tokens[1, :6], [1, 2, 4, math.nan, 5, 10])
    fired = predicted(trained(), 24)[0][2]
    in_pairs = fired[:, :4].reshape(24, 2, 2, 32).any(2).mean()
    of_four = fired.reshape(6, 4 * 5, 32).any(1).mean()
    np.testing.assert_allclose(data.final_window_use[2, [1, 6]], [in_pairs, of_four], rtol=1e-6)
    assert "encoder" in data.layer.long_name and "own layer" in data.dead_units.long_name
    facts = results.provenance(data)
    assert facts["corpus"]["lengths"] == {"text": 17, "cut": 3, "spans": 1, "inputs": 16, "targets": 5}
    assert facts["corpus"]["checksum"] == tiny_corpus().checksum


def test_deaths_are_counted_in_each_layers_own_tokens_of_the_training_text() -> None:
    trainer = train.Trainer(tiny_spans(), text(), torch.device("cpu"))
    silent, last, dead = (np.zeros((3, 32)) for _ in range(3))
    firings, in_sequences = np.zeros(3), np.zeros(3)
    lengths = SpanConfig(sentinels=2).lengths(16)
    for step in range(16):
        fired: list[np.ndarray] = []
        batch = spans.batch(made_up_text(20_000, 0), lengths, spans.Ids(64, 0, 2), 8, 0, step)
        with torch.no_grad():
            trainer.model.predict(
                *map(torch.from_numpy, batch), observe=lambda *told, to=fired: to.append((told[3] > 0).numpy())
            )
        trainer.advance()
        for layer, of in enumerate(fired):
            hit = of.any((0, 1))
            silent[layer] = np.where(hit, 0, silent[layer] + 8 * OWN[layer])
            last[layer][hit] = (step + 1) * 128
            firings[layer] += of.sum()
            in_sequences[layer] += of.any(1).sum()
        dead = silent >= 128
        np.testing.assert_array_equal(torch.stack(trainer.deaths.rows(trainer.deaths.dead)), dead)
    assert dead.any() and ((silent > 0) & (silent < 128)).any()
    np.testing.assert_array_equal(torch.stack(trainer.deaths.rows(trainer.deaths.last_fired)), last)
    np.testing.assert_array_equal(trainer.deaths.stream_firings, firings)
    np.testing.assert_array_equal(trainer.deaths.stream_sequence_units, in_sequences)


def test_its_rows_divide_by_own_tokens_and_know_no_death_before_its_time() -> None:
    run = trained()
    data = run.dataset
    np.testing.assert_array_equal(data.tokens, [0, 128, 256, 512, 1024, 2048, 3072, 4096, 5120])
    known = [[False] * 3, *[[True, False, False]] * 2, *[[True] * 3] * 6]
    np.testing.assert_array_equal(data.dead_units.notnull(), known, "128 of a decoder's own tokens are 410 read ones")
    trainer = train.Trainer(run.config, text(), torch.device("cpu"))
    for _ in range(40):
        trainer.advance()
    per_token = trainer.deaths.stream_firings.numpy() / (40 * 8 * OWN * 32)
    spans_of = np.diff(data.tokens.values, prepend=0)[:, None] / 5120
    np.testing.assert_allclose((data.train_token_use * spans_of)[1:].sum("step"), per_token, rtol=1e-6)
    per_sequence = trainer.deaths.stream_sequence_units.numpy() / (40 * 8 * 32)
    np.testing.assert_allclose((data.train_sequence_use * spans_of)[1:].sum("step"), per_sequence, rtol=1e-6)


def test_it_resumes_to_the_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = {"train.snapshots": 1, "seed": 2}
    path = trained(**changes).path
    undisturbed = train.Run(path.rename(tmp_path / "undisturbed"), tiny_spans(**changes))
    advance = train.Trainer.advance

    def dies(trainer: train.Trainer) -> Any:
        if trainer.step == 18:
            raise KeyboardInterrupt
        return advance(trainer)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(golden, "meaning", lambda: "1")  # its end is no other meaning
        patched.setattr(train.Trainer, "advance", dies)
        trained(**changes)
    assert sealed.numbered(path / resuming.STATES)
    same_to_the_bit(undisturbed, trained(**changes))


def test_a_fork_that_changes_nothing_is_its_parent() -> None:
    parent = trained(**{"seed": 1, "train.fork_states": (2048,)})
    fork = trained(**{"seed": 1, "fork.tokens": 2048})
    one, other = ((run.path / "metrics.jsonl").read_text().splitlines() for run in (parent, fork))
    assert other == one[16:] and len(other) == 24
    assert (fork.dataset.silent_at_risk.sum("silent_steps") == 24 * 32).all()


@pytest.mark.parametrize("rule", ["dead", "random"])
def test_units_are_removed_from_it_too(rule: str) -> None:
    removed: dict[str, Any] = {"prune.tokens": (2560,), "prune.rule": rule, "prune.multiple": 4}
    run = trained(**removed | ({"prune.widths": (32, 24, 16)} if rule == "random" else {}))
    widths = run.model().widths()
    gone = run.dataset.removed_at.notnull().sum("unit").values
    assert (gone == 32 - np.array(widths)).all() and gone.sum() > 0
    assert rule == "dead" or widths == [32, 24, 16]


def test_a_control_on_updates_acts_on_both_stacks() -> None:
    run = trained(**{"control.kind": "exchange", "control.every": 10, "control.share": 0.25})
    assert (run.dataset.treated.sum("unit") == 8).all()
    moved = run.dataset.path_length != run.dataset.path_length_given
    assert moved.where(run.dataset.treated == 1, False).any("unit").all()


def test_each_rank_reads_its_part_of_the_batch() -> None:
    task = tasks.CorruptedText(text())
    whole = task.batch(12, 3, 40)
    for ranks in (2, 4):
        parts = zip(*(task.batch(12, 3, 40, rank, ranks) for rank in range(ranks)), strict=True)
        for of_ranks, of_one in zip(parts, whole, strict=True):
            np.testing.assert_array_equal(np.concatenate(of_ranks), of_one)
    assert task.order_digest(3) != task.order_digest(4)


def test_it_is_the_same_after_json_and_has_a_name_of_its_own() -> None:
    config = tiny_spans()
    said = json.loads(json.dumps(to_dict(config)))
    assert said["model"]["class"] == "EncoderDecoderConfig" and said["corpus"]["class"] == "SpanCorpusConfig"
    assert from_dict(RunConfig, said) == config
    assert identity.changed(config)["model.__class__.__name__"] == "EncoderDecoderConfig"
    denser = changed(SPANS, spans=SpanConfig(density=0.16, sentinels=2))
    assert denser.target_len == 5, "as many tokens, other ones"
    drawn = {"corpus.targets": "random"}
    several = (config, replace(config, corpus=denser), replace(config, seed=1), replace(config, **drawn))
    assert len({train.run_path(each, text(each.corpus)) for each in several}) == 4


def test_its_text_is_tokenised_once_for_decoders_too(tmp_path: Path) -> None:
    path = tmp_path / "text.jsonl"
    path.write_text("".join(json.dumps({"text": f"line {i} of a text, " * 9}) + "\n" for i in range(60)))
    plain = CorpusConfig(source="text", paths=(str(path),), vocab_size=270, heldout_share=0.3, tokenizer_bytes=800)
    found = corpora.load(SpanCorpusConfig(plain, SpanConfig(sentinels=2), seq_len=16), tmp_path)
    assert found.text is corpora.load(plain, tmp_path) and found.ids.vocabulary == found.config.vocab_size == 273
    assert found.ids.eos == found.text.eos and found.checksum != found.text.checksum


def test_it_is_shown_and_measure_says_why_it_takes_it_not() -> None:
    run = trained()
    shown = ondisk.summary(run.path)
    assert "tiny, 20,000 training tokens" in shown and "bits/byte" not in shown
    assert "in 8 sequences  in 24 sequences" in shown and "\ndecoder 1  " in shown
    (row,) = (line for line in ondisk.listing().splitlines() if run.path.name[4:] in line)
    assert row.split()[1:6] == ["finished", "3", "16", "32", "relu"]
    with pytest.raises(UserError, match="run of EncoderDecoderConfig, and runs of decoders alone are measured"):
        runs.find(str(run.path))


@pytest.mark.parametrize("config", [tiny_spans(), tiny_pictures()])
def test_too_little_memory_is_said_of_any_kind_of_model(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(train.loop, "_from_the_last_state", full)
    n = config.model.n_layers
    with pytest.raises(UserError, match=rf"too little memory for {n} layers of d_ff 32 and d_model 16 with \d+ seq"):
        train.loop._train(config, None, Path())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model.seq_len": 32}, "corpus.seq_len = 16 but model.seq_len = 32; give both the same"),
        ({"model.target_len": 6}, "corpus.target_len = 5 but model.target_len = 6; give both the same"),
        ({"model.vocab_size": 64}, "corpus.vocab_size = 67 but model.vocab_size = 64; give both the same"),
        ({"model": tiny_model()}, "SpanCorpusConfig is read by a model of EncoderDecoderConfig, not by one of ModelCo"),
        ({"corpus": SPANS.text}, "CorpusConfig is read by a model of ModelConfig, not by one of EncoderDecoderConfig"),
        ({"corpus.spans.sentinels": 1, "corpus.seq_len": 64}, "SpanConfig.sentinels = 1: inputs of 64 tokens have 3"),
        ({"intervention.kind": "centre"}, "an intervention is about the blocks of a decoder, not of .* EncoderDecoder"),
        ({"fork.tokens": 1024, "fork.freeze_before": 1}, "fork.freeze_before is about the blocks of a decoder"),
        (
            {"prune.tokens": (384,), "prune.multiple": 4},
            r"no unit is dead\(n\) before n = dead_after = 128 training tokens, or 410 in a layer with fewer tokens of",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said) as refused:
        tiny_spans(**changes)
    assert "\n" not in str(refused.value)


def test_positions_that_the_configuration_does_not_know_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EncoderDecoder, "positions", lambda _: [16, 4, 4])
    with pytest.raises(UserError, match=r"positions gives 16, 4 and 4, the run's configuration says 16, 5 and 5: what"):
        trained(seed=3)


def test_other_text_and_more_sets_than_it_makes_are_refused() -> None:
    with pytest.raises(UserError, match="the held-out text makes 4 sets of 128 tokens, but 5 are asked for"):
        trained(**{"measure.final_sets": 5})
    denser = text(changed(SPANS, spans=SpanConfig(density=0.16, sentinels=2)))
    reads = "the run reads {}, but is given {}; give what corpora.load makes of its corpus"
    for config, given, said in (
        (tiny_spans(), tiny_corpus(), reads.format(SPANS, "a text")),
        (tiny_run(), text(), reads.format("a text", SPANS)),
        (tiny_spans(), denser, reads.format(SPANS, denser.config)),
    ):
        with pytest.raises(UserError, match=re.escape(said)):
            train.run(config, given)
    fewer = changed(text(), text=changed(tiny_corpus(), vocab_size=60))
    with pytest.raises(UserError, match=r"the corpus tiny .* has 63 token types, the run run-\w+ is configured for 67"):
        train.run(tiny_spans(), fewer)
