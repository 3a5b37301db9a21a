"""Runs of pictures: counted as runs of text are, resumed to the bit with dropout, forked, shrunk, named, refused."""

import json
import os
import re
from dataclasses import replace as changed
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch.nn import functional as F

from fixtures_core import tiny_corpus, tiny_model, tiny_run
from pictures_made import tiny_pictures
from relusparsity import corpora, distributed, identity, train
from relusparsity.book import planned
from relusparsity.config import RunConfig, from_dict, replace, to_dict
from relusparsity.corpora import tasks
from relusparsity.corpus_config import DataConfig
from relusparsity.errors import UserError
from relusparsity.experiments import layer_patterns, shared, sweeps
from relusparsity.measure import runs
from relusparsity.pictures_config import PicturesConfig
from relusparsity.store import ondisk, results, sealed
from relusparsity.store.schema import FINAL, MEASURED, OF_TEXT
from relusparsity.train import golden, resuming
from relusparsity.vit_config import VitConfig

pytestmark = pytest.mark.usefixtures("one_thread", "with_digits")
pytest_plugins = ("pictures_made",)  # its fixtures
DROPS = {"model.dropout": 0.2}
PLAIN = PicturesConfig(padding=0)


def predicted(run: train.Run, part: str) -> tuple[list[np.ndarray], float, float]:
    """Where each layer's units fire at the patches (picture, patch, unit), loss and accuracy; by hooks, at once."""
    pixels, labels = getattr(corpora.load(run.config.corpus), part)
    sets = run.config.measure.final_sets if part == "test" else run.config.measure.sets
    few = sets * run.config.measure.set_tokens // run.config.model.seq_len
    model: Any = run.model()
    kept: list[np.ndarray] = []
    for mlp in model.mlps():
        mlp.fc_out.register_forward_hook(lambda _m, given, _o: kept.append((given[0][:, 1:] > 0).numpy()))
    with torch.no_grad():
        logits = model(torch.from_numpy(pixels[:few] / 127.5 - 1))
    targets = torch.from_numpy(labels[:few])
    right = float((logits.argmax(1) == targets).double().mean())
    return kept, float(F.cross_entropy(logits, targets)), right


def test_its_dataset_says_what_the_model_does_on_the_test() -> None:
    run = train.run(tiny_pictures())
    data, (fired, loss, accuracy) = run.dataset, predicted(run, "test")
    np.testing.assert_array_equal(data.final_firing_count, [layer.sum((0, 1)) for layer in fired])
    np.testing.assert_array_equal(data.final_sequences_fired, [layer.any(1).sum(0) for layer in fired])
    np.testing.assert_allclose(data.final_token_use, [layer.mean() for layer in fired])
    np.testing.assert_allclose(data.final_sequence_use, [layer.any(1).mean() for layer in fired])
    np.testing.assert_allclose(data.position_use, [layer.mean((0, 2)) for layer in fired])
    in_sets = [[layer[at : at + 64].any((0, 1)).mean() for layer in fired] for at in range(0, 192, 64)]
    np.testing.assert_allclose(data.final_batch_use, in_sets)
    assert float(data.final_loss) == pytest.approx(loss, rel=1e-5)
    assert float(data.final_accuracy) == pytest.approx(accuracy)
    _, loss, accuracy = predicted(run, "validation")
    assert float(data.heldout_loss[-1]) == pytest.approx(loss, rel=1e-5)
    assert float(data.heldout_accuracy[-1]) == pytest.approx(accuracy) and accuracy > 0.3, "it learns"
    assert not set(OF_TEXT) & set(data) and set(OF_TEXT) < MEASURED.keys() | FINAL.keys()
    assert data.final_loss.units == "nats/picture" and "vision" in data.layer.long_name
    assert results.provenance(data)["corpus"]["train_pictures"] == 376


def test_deaths_are_counted_in_patches_of_the_training_pictures() -> None:
    trainer = train.Trainer(tiny_pictures(), corpora.load(PLAIN), torch.device("cpu"))
    last, firings = np.zeros((2, 32)), np.zeros(2)
    for step in range(12):
        fired: list[np.ndarray] = []
        batch = [torch.from_numpy(each) for each in trainer.task.batch(16, 0, step)]
        assert batch[0].shape == (16, 28, 28) and -1 <= batch[0].min() < batch[0].max() <= 1
        with torch.no_grad():
            trainer.model.predict(*batch, observe=lambda *told, to=fired: to.append((told[3] > 0).numpy()))
        trainer.advance()
        for layer, of in enumerate(fired):
            last[layer][of.any((0, 1))] = (step + 1) * 16 * 4
            firings[layer] += of.sum()
    np.testing.assert_array_equal(torch.stack(trainer.deaths.rows(trainer.deaths.last_fired)), last)
    np.testing.assert_array_equal(trainer.deaths.stream_firings, firings)
    dead = (12 * 64 - last >= 128).sum()
    assert 0 < dead == int(trainer.deaths.dead.sum())


def same_to_the_bit(run: train.Run, other: train.Run) -> None:
    assert (run.path / "metrics.jsonl").read_bytes() == (other.path / "metrics.jsonl").read_bytes()
    xr.testing.assert_identical(run.dataset.drop_attrs(), other.dataset.drop_attrs())
    for step in run.snapshots():
        one, two = (each.model(step=step).state_dict() for each in (run, other))
        assert all(torch.equal(one[name], two[name]) for name in one)


def test_it_resumes_to_the_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = DROPS | {"corpus.pixels": "fresh", "train.snapshots": 1}  # of pictures as they are: see the fork
    path = train.run(tiny_pictures(**changes)).path
    undisturbed = train.Run(path.rename(tmp_path / "undisturbed"), tiny_pictures(**changes))
    advance = train.Trainer.advance

    def dies(trainer: train.Trainer) -> Any:
        if trainer.step == 18:
            raise KeyboardInterrupt
        return advance(trainer)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(golden, "meaning", lambda: "1")  # its end is no other meaning
        patched.setattr(train.Trainer, "advance", dies)
        train.run(tiny_pictures(**changes))
    assert sealed.numbered(path / resuming.STATES)
    torch.manual_seed(5)
    same_to_the_bit(undisturbed, train.run(tiny_pictures(**changes)))


def test_what_is_dropped_is_of_seed_and_step(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []
    monkeypatch.setattr(torch, "manual_seed", lambda seed: seeds.append(seed))
    for config in (tiny_pictures(**DROPS), tiny_pictures(**DROPS, seed=1), tiny_pictures()):
        trainer = train.Trainer(config, corpora.load(PLAIN), torch.device("cpu"))
        for _ in range(3):
            trainer.advance()
    assert len(set(seeds)) == len(seeds) == 6, "without dropout nothing is drawn"


def test_a_fork_that_changes_nothing_is_its_parent() -> None:
    parent = train.run(tiny_pictures(**DROPS, **{"seed": 1, "train.fork_states": (1024,)}))
    fork = train.run(tiny_pictures(**DROPS, **{"seed": 1, "fork.tokens": 1024}))
    one, other = ((run.path / "metrics.jsonl").read_text().splitlines() for run in (parent, fork))
    assert other == one[16:] and len(other) == 24


def test_units_are_removed_from_it_too() -> None:
    removed = {"prune.tokens": (1280,), "prune.rule": "random", "prune.widths": (16, 24), "prune.multiple": 4}
    run = train.run(tiny_pictures(**removed))
    assert run.model().widths() == [16, 24] and int(run.dataset.removed_at.notnull().sum()) == 24


def test_each_rank_reads_its_part_of_the_batch() -> None:
    for config in (PLAIN, PicturesConfig(padding=0, pixels="fresh")):
        task = tasks.LabelledPictures(corpora.load(config))
        whole = task.batch(12, 3, 40)
        for ranks in (2, 4):
            parts = zip(*(task.batch(12, 3, 40, rank, ranks) for rank in range(ranks)), strict=True)
            for of_ranks, of_one in zip(parts, whole, strict=True):
                np.testing.assert_array_equal(np.concatenate(of_ranks), of_one)
    task = tasks.LabelledPictures(corpora.load(PLAIN))
    epoch = np.concatenate([task.batch(47, 3, step)[0] for step in range(8)])  # 376 pictures
    assert len({picture.tobytes() for picture in epoch}) == 376, "every picture once"
    assert task.order_digest(3) != task.order_digest(4)


def test_it_is_the_same_after_json_and_has_a_name_of_its_own() -> None:
    config = tiny_pictures(**DROPS)
    said = json.loads(json.dumps(to_dict(config)))
    assert said["model"]["class"] == "VitConfig" and said["corpus"]["class"] == "PicturesConfig"
    assert from_dict(RunConfig, said) == config
    assert identity.changed(config)["model.__class__.__name__"] == "VitConfig"
    several = (config, tiny_pictures(), replace(config, **{"corpus.noise": 0.1}))
    assert len({train.run_path(each, corpora.load(each.corpus)) for each in several}) == 3
    with pytest.raises(
        UserError, match=r"there is no 'BaseModelConfig' here; expected one of ModelConfig, .*VitConfig"
    ):
        from_dict(RunConfig, said | {"model": {"class": "BaseModelConfig"}})
    with pytest.raises(UserError, match=r"there is no \['VitConfig'\] here; expected one of ModelConfig"):
        from_dict(RunConfig, said | {"model": {"class": ["VitConfig"]}})


def test_it_is_shown_and_measure_says_why_it_takes_it_not() -> None:
    run = train.run(tiny_pictures())
    shown = ondisk.summary(run.path)
    assert "pictures:digits, 376 training pictures" in shown and "% of pictures predicted first" in shown
    assert "nats/picture" in shown and "bits/byte" not in shown
    with pytest.raises(UserError, match="belongs to a training run of VitConfig, and runs of decoders alone"):
        runs.find(str(run.path))


def test_experiments_that_chapters_share_stack_them() -> None:
    changes = {"as it is": {}, "random labels": {"corpus.labels": "random"}}
    runs = tuple(tiny_pictures(**fields) for fields in changes.values())
    by_recipe = sweeps.run(sweeps.Config("smoke", "default", runs, changes, "recipe", "of_pictures"))
    by_seed = layer_patterns.run(shared.Config("smoke", "default", runs[:1]))
    data = [train.run(run).dataset for run in runs]
    for name in ("heldout_loss", "final_loss", "batch_use", "final_batch_use"):
        np.testing.assert_array_equal(by_recipe[name][:, 0], [each[name] for each in data])
        np.testing.assert_array_equal(by_seed[name][0], data[0][name])
    assert not set(OF_TEXT) & (set(by_recipe) | set(by_seed))


def test_an_experiment_trains_them_side_by_side_and_keeps_their_dataset(monkeypatch: pytest.MonkeyPatch) -> None:
    given = shared.Config("smoke", "default", tuple(tiny_pictures(seed=seed) for seed in (11, 12)))
    monkeypatch.setattr(shared, "WORTH_A_PROCESS", 0)
    monkeypatch.setattr(shared, "side_by_side", lambda _processes: (2, dict(os.environ)))  # on a GPU too
    assert shared.in_processes(given.runs) == list(given.runs) or distributed.device().type != "cpu"

    def compute() -> xr.Dataset:
        return shared.stack(shared.train_all(given.runs), given)

    made = shared.cached("of_pictures", given, given.runs, "relusparsity.experiments.shared", compute)
    for seed, run in zip((11, 12), given.runs, strict=True):
        xr.testing.assert_equal(made.sel(seed=seed, drop=True), train.run(run).dataset)
    assert made["final_loss"].units == "nats/picture" and 0 < planned.seconds(given.runs[0]) < 60
    again = shared.cached("of_pictures", given, given.runs, "relusparsity.experiments.shared", pytest.fail)
    xr.testing.assert_identical(again, made)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"corpus.padding": 2}, "corpus.side = 32 but model.image_size = 28; give both the same"),
        ({"model.classes": 9}, "corpus.classes = 10 but model.classes = 9; give both the same"),
        ({"model": tiny_model(seq_len=4)}, "PicturesConfig is read by a model of VitConfig, not by one of ModelConfig"),
        ({"corpus": DataConfig()}, "nothing reads DataConfig; give one of CorpusConfig, PicturesConfig, Span"),
        ({"intervention.kind": "centre"}, "an intervention is about the blocks of a decoder, not of .* VitConfig"),
        ({"fork.tokens": 1024, "fork.freeze_before": 1}, "fork.freeze_before is about the blocks of a decoder"),
    ],
)
def test_what_does_not_go_together_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said) as refused:
        tiny_pictures(**changes)
    assert "\n" not in str(refused.value)


def test_more_sets_than_there_are_pictures_and_text_for_a_vit_are_refused() -> None:
    for name, part in (("sets", "validation"), ("final_sets", "test")):
        said = f"the {part} part of pictures:digits makes 8 sets of 256 tokens, but 9 are asked for; lower measure"
        with pytest.raises(UserError, match=said):
            train.run(tiny_pictures(**{f"measure.{name}": 9}))
    with pytest.raises(UserError, match="CorpusConfig is read by a model of ModelConfig, not by one of VitConfig"):
        changed(tiny_run(), model=VitConfig(image_size=28, patch_size=14))


def test_data_of_another_run_are_refused() -> None:
    reads = "the run reads {}, but is given {}; give what corpora.load makes of its corpus"
    for config, given, said in (
        (tiny_pictures(), tiny_corpus(), reads.format(PLAIN, "a text")),
        (tiny_run(), corpora.load(PLAIN), reads.format("a text", PLAIN)),
        (tiny_pictures(**{"corpus.noise": 0.5}), corpora.load(PLAIN), reads.format(changed(PLAIN, noise=0.5), PLAIN)),
    ):
        with pytest.raises(UserError, match=re.escape(said)):
            train.run(config, given)
