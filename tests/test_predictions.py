"""What a run says of its predictions: against the model read at once and scores by loops; resumed, split, refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.classification import MulticlassCalibrationError

from fixtures_core import tiny_run
from pictures_made import tiny_pictures
from relusparsity import corpora, distributed, train
from relusparsity.classifiers import attacks, corruptions
from relusparsity.corpora import tasks
from relusparsity.corpora.pictures import HELD_OUT
from relusparsity.errors import UserError
from relusparsity.store import results, sealed
from relusparsity.store.schema import PREDICTED, PREDICTED_AT_THE_END
from relusparsity.train import golden, predictions, resuming

pytestmark = pytest.mark.usefixtures("one_thread", "with_digits")
pytest_plugins = ("pictures_made",)  # its fixtures

PADDED = {
    "corpus.padding": 2,
    "model.image_size": 32,
    "model.patch_size": 16,
    "measure.predictions": True,
    "measure.points": 4,  # with the steps of the weights that are kept
}


@pytest.fixture
def run() -> train.Run:
    return train.run(tiny_pictures(**PADDED))


def read(run: train.Run, step: int | None, pixels: np.ndarray) -> Tensor:
    """Scores of pictures of 0 to 255, (picture, class), all at once."""
    with torch.no_grad():
        return run.model(step=step)(torch.from_numpy(pixels / 127.5 - 1).float())


@pytest.mark.parametrize("place", [-2, -1])
def test_each_measurement_judges_the_whole_test(run: train.Run, place: int) -> None:
    step = run.snapshots()[place]
    data, of = run.dataset.sel(step=step), corpora.load(run.config.corpus)
    scores, labels = read(run, step, of.test.pixels).double(), torch.from_numpy(of.test.labels)
    assert len(labels) == 512 and float(data.test_accuracy) == (scores.argmax(1) == labels).double().mean()

    by = float(data.temperature)
    held, truth = read(run, step, of.validation.pixels).double(), torch.from_numpy(of.validation.labels)
    losses = [float(F.cross_entropy(held / (by * times), truth)) for times in (0.97, 1, 1.03)]
    assert losses[1] == min(losses), "it fits the validation, which is 512 pictures"

    for scaling, logits in (("as it is", scores), ("temperature", scores / by)):
        seen, p = data.sel(scaling=scaling), logits.softmax(1)
        assert float(seen.test_loss) == pytest.approx(float(F.cross_entropy(logits, labels)), rel=1e-5)
        squares = ((p - F.one_hot(labels, 10)) ** 2).sum(1).mean()
        assert float(seen.test_brier) == pytest.approx(float(squares), rel=1e-5)
        error = abs(seen.bin_correct - seen.bin_confidence).sum() / seen.bin_pictures.sum()
        theirs = MulticlassCalibrationError(num_classes=10, n_bins=15, norm="l1")(p, labels)
        assert float(error) == pytest.approx(float(theirs), abs=1e-5) and int(seen.bin_pictures.sum()) == 512
        order = p.max(1).values.argsort(stable=True)
        gaps = (p.max(1).values - (p.argmax(1) == labels).double())[order]
        adaptive = sum(abs(float(gap.sum())) for gap in gaps.split(np.bincount(np.arange(512) * 15 // 512).tolist()))
        assert float(seen.test_adaptive_error) == pytest.approx(adaptive / 512, abs=1e-5)


def test_its_end_has_noisy_pictures_whose_padding_stays_dark(run: train.Run) -> None:
    data, of = run.dataset, corpora.load(run.config.corpus)
    for kind, strength in (("gaussian", 1), ("shot", 3), ("impulse", 5)):
        noisy = corruptions.corrupted(of.test.pixels[:, 2:-2, 2:-2] / 255, kind, strength)
        scores = read(run, None, np.pad(noisy * 255, ((0, 0), (2, 2), (2, 2))))
        right = (scores.argmax(1).numpy() == of.test.labels).mean()
        seen = data.sel(corruption=kind, strength=strength)
        assert float(seen.corrupted_accuracy) == pytest.approx(right, abs=2.1 / 512)
        for scaling, by in (("as it is", 1.0), ("temperature", float(data.temperature[-1]))):
            theirs = MulticlassCalibrationError(num_classes=10, n_bins=15, norm="l1")
            error = float(theirs((scores / by).softmax(1), torch.from_numpy(of.test.labels)))
            assert float(seen.corrupted_error.sel(scaling=scaling)) == pytest.approx(error, abs=0.01)
    assert float(data.corrupted_accuracy.min()) < float(data.test_accuracy[-1])


def test_its_end_has_attacked_pictures(run: train.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    data, of, model = run.dataset, corpora.load(run.config.corpus), run.model()
    assert float(data.unattacked_accuracy) == float(data.test_accuracy[-1]), "all of 512 pictures"
    pixels, labels = torch.from_numpy(of.test.pixels).float() / 255, torch.from_numpy(of.test.labels)
    given = pixels.requires_grad_()
    F.cross_entropy(model(2 * given - 1), labels, reduction="sum").backward()
    assert given.grad is not None
    for epsilon in predictions.EPSILONS:
        moved = (pixels + epsilon / 255 * given.grad.sign()).clamp(0, 1).detach()
        moved[:, :2] = moved[:, -2:] = moved[:, :, :2] = moved[:, :, -2:] = 0
        with torch.no_grad():
            right = (model(2 * moved - 1).argmax(1) == labels).double().mean()
        seen = data.attacked_accuracy.sel(epsilon=epsilon)
        assert float(seen.sel(attack="FGSM")) == pytest.approx(float(right), abs=1.1 / 512)
        assert float(seen.sel(attack="PGD")) <= float(seen.sel(attack="FGSM")) + 2 / 512
    assert float(seen.sel(attack="PGD")) < float(data.unattacked_accuracy)
    model.zero_grad()
    asked: list[tuple[int, float, int]] = []

    def noted(loss: Any, pictures: Tensor, epsilon: float, seed: int) -> Tensor:
        asked.append((len(pictures), round(255 * epsilon), seed))
        return attacks.pgd(loss, pictures, epsilon, seed, steps=1)

    monkeypatch.setitem(predictions.ATTACKS, "PGD", noted)
    monkeypatch.setattr(predictions, "ATTACKED", 300)
    predictions.at_the_end(model, tasks.LabelledPictures(of))
    assert asked == [(n, epsilon, first) for first, n in ((0, 256), (256, 44)) for epsilon in (1, 2, 4, 8)]
    assert all(parameter.grad is None for parameter in model.parameters()), "attacks leave the model as it is"


def test_its_work_is_counted_to_the_picture(run: train.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    model, task = run.model(), tasks.LabelledPictures(corpora.load(run.config.corpus))
    seen: list[tuple[bool, int]] = []
    predict = model.predict

    def noted(*batch: Tensor, **others: Any) -> tuple[Tensor, Tensor]:
        seen.append((batch[0].requires_grad, len(batch[0])))
        return predict(*batch, **others)

    monkeypatch.setattr(model, "predict", noted)
    for _ in range(2):
        predictions.at_a_step(model, task)
    predictions.at_the_end(model, task)
    attacked = [count for moved, count in seen if moved]
    found = predictions.Work(sum(count for moved, count in seen if not moved), sum(attacked), len(attacked))
    assert predictions.work("digits", 2) == found and len(task.data.validation.labels) == HELD_OUT["digits"][0]


def test_what_else_is_measured_is_what_a_run_without_it_has(run: train.Run) -> None:
    plain = train.run(tiny_pictures(**PADDED | {"measure.predictions": False}))
    own = {*PREDICTED, *PREDICTED_AT_THE_END}
    assert run.path != plain.path and own < set(run.dataset) and not own & set(plain.dataset)
    same = run.dataset.drop_vars([*own, *predictions.COORDINATES])
    xr.testing.assert_identical(same.drop_attrs(), plain.dataset.drop_attrs())
    sizes = [sum(each[name].nbytes for name in each.variables) for each in (run.dataset, plain.dataset)]
    assert sizes[0] - sizes[1] < 30_000, "bytes of one run, before they are packed"


def test_it_resumes_to_the_bit(run: train.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    undisturbed = train.Run(run.path.rename(tmp_path / "undisturbed"), run.config)
    advance = train.Trainer.advance

    def dies(trainer: train.Trainer) -> Any:
        if trainer.step == 18:
            raise KeyboardInterrupt
        return advance(trainer)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(golden, "meaning", lambda: "1")  # its end is no other meaning
        patched.setattr(train.Trainer, "advance", dies)
        train.run(run.config)
    assert sealed.numbered(run.path / resuming.STATES)
    xr.testing.assert_identical(undisturbed.dataset.drop_attrs(), train.run(run.config).dataset.drop_attrs())


def test_scores_that_are_not_finite_end_the_run_as_its_loss_does(monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_pictures(**PADDED, seed=3)
    real = predictions.at_a_step

    def after(model: Any, task: Any) -> Any:
        with torch.no_grad():
            model.output.bias[0] = torch.inf
        return real(model, task)

    row = train.measurements.Recorder.row
    steps: list[int] = []

    def fails(recorder: Any, trainer: Any, log: Any) -> Any:
        steps.append(trainer.step)
        if len(steps) == 4:
            monkeypatch.setattr(predictions, "at_a_step", after)
        return row(recorder, trainer, log)

    monkeypatch.setattr(golden, "meaning", lambda: "1")
    monkeypatch.setattr(train.measurements.Recorder, "row", fails)
    with pytest.raises(FloatingPointError, match="gives pictures scores that are not finite"):
        train.run(config)
    stopped = results.load(train.run_path(config, corpora.load(config.corpus)) / "stopped.nc")
    assert stopped["step"].values.tolist() == steps[:3] and stopped.test_brier.notnull().all()


def test_it_is_for_pictures_alone_and_for_whole_models(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"^MeasureConfig.predictions = True is .* and CorpusConfig has none; leave"):
        tiny_run(**{"measure.predictions": True})
    config = tiny_pictures(**PADDED, **{"train.shard": True}, seed=4)
    monkeypatch.setattr(distributed, "world", lambda: 2)
    with pytest.raises(UserError, match=r"^attacks on pictures \(measure.predictions\) need .*; use shard = False.$"):
        train.loop._check(config, corpora.load(config.corpus))
