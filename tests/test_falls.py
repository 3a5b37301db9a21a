"""Falls of high pre-activations: every number against a whole history in NumPy; nothing of the run is changed."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from controls_made import OPTIMISERS, controlled, run_steps, trainer_of
from fixtures_core import tiny_corpus, tiny_run
from relusparsity import train
from relusparsity.counting import falls
from relusparsity.train import resuming
from train_made import trained

pytest_plugins = ("train_made",)  # its fixtures
pytestmark = pytest.mark.usefixtures("one_thread")

FOLLOWED = controlled("watch", follow_falls=True)
STEPS = 130
SLOW = {"train.tokens": STEPS * 64, "train.schedule": "constant", "measure.set_tokens": 512}


class Points:
    """Before each block's first step: the input at which each unit has its quantile, by hooks and a percentile."""

    def __init__(self, trainer: Any) -> None:
        self.trainer, self.found = trainer, np.zeros(0)

    def __call__(self, step: int) -> None:
        if step % 10:
            return
        seen: list[tuple[np.ndarray, np.ndarray]] = []
        hooks = [
            mlp.fc_in.register_forward_hook(lambda _m, x, z: seen.append((x[0].flatten(0, 1), z.flatten(0, 1))))
            for mlp in self.trainer.model.mlps()
        ]
        text = self.trainer.corpus.heldout[: 512 + 1].astype(np.int64)
        with torch.no_grad():
            self.trainer.model(torch.from_numpy(text[:512].reshape(64, 8)))
        for hook in hooks:
            hook.remove()
        layers = []
        for x, z in ((each.double().numpy() for each in pair) for pair in seen):
            at = np.quantile(z, 0.999, axis=0, method="inverted_cdf")
            layers.append(np.stack([x[np.flatnonzero(z[:, unit] == at[unit])[0]] for unit in range(32)]))
        self.found = np.stack(layers)


@pytest.mark.parametrize("optimiser", ["adamw", "no bias"])
def test_falls_are_those_of_a_whole_history(optimiser: str) -> None:
    trainer = trainer_of(**SLOW, **OPTIMISERS[optimiser], **FOLLOWED)
    points, changes, n = Points(trainer), [], np.zeros((2, 32), dtype=int)
    for step in range(STEPS):
        points(step)
        (seen,) = run_steps(trainer, 1)
        inputs = points.found
        if trainer.config.model.bias:
            inputs = np.concatenate([inputs, np.ones((2, 32, 1))], axis=2)
        changes.append((seen.given * inputs).sum(-1))
        fired = torch.stack(trainer.deaths.rows(trainer.deaths.last_fired)).numpy() == trainer.tokens
        n[fired] = step + 1
    assert trainer.falls
    found = trainer.falls.arrays()
    falling = np.maximum(0, -np.array(changes))
    for name, expected in (("falls", falling.sum(0)), ("rises", np.maximum(0, changes).sum(0))):
        np.testing.assert_allclose(found[name], expected, rtol=1e-3, atol=1e-4)
    for layer, unit in np.ndindex(2, 32):
        largest = sorted(falling[:, layer, unit])[::-1][: math.ceil(n[layer, unit] / 100)]
        np.testing.assert_allclose(found["largest_falls"][layer, unit], sum(largest), rtol=1e-3, atol=1e-5)
    counts = {math.ceil(each / 100) for each in n.ravel()}
    assert counts == {1, 2} if optimiser == "adamw" else 2 in counts, "some stopped firing early on"
    share = found["largest_falls"] / found["falls"]
    assert ((share > 0) & (share <= 1)).all() and share.min() < 0.5


@pytest.mark.parametrize("tokens", [1, 999, 1000, 1001, 2001])
def test_the_quantile_is_the_inverted_cdfs(tokens: int) -> None:
    rng = np.random.default_rng(tokens)
    inputs, preactivation = rng.normal(size=(tokens, 3)), rng.normal(size=(tokens, 7))
    found = falls.at_quantile(torch.from_numpy(inputs), torch.from_numpy(preactivation)).numpy()
    wanted = np.quantile(preactivation, 0.999, axis=0, method="inverted_cdf")
    where = (preactivation == wanted).argmax(0)
    np.testing.assert_array_equal(found, inputs[where])


def test_units_that_never_fired_since_have_no_largest_falls() -> None:
    trainer = trainer_of(**FOLLOWED, **{"train.fork_states": (640,), "fork.tokens": 640})
    trainer.step = 10
    trainer.deaths.last_fired.fill_(640)
    trainer.deaths.last_fired[5] = 641  # as none does: within a step
    assert trainer.falls and trainer.falls.begin == 10 and trainer.falls.largest.shape == (64, 1)
    assert np.isnan(trainer.falls.arrays()["largest_falls"]).all()
    trainer.deaths.last_fired[5] = 704
    assert np.flatnonzero(np.isfinite(trainer.falls.arrays()["largest_falls"])).tolist() == [5]


def test_following_changes_nothing_of_a_run_and_resumes_to_the_bit(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path_factory.mktemp("whole")
    whole, plain = trained(elsewhere, **FOLLOWED), trained(elsewhere, **controlled("watch"))
    assert (whole.path / "metrics.jsonl").read_bytes() == (plain.path / "metrics.jsonl").read_bytes()
    of_falls = ["falls", "rises", "largest_falls"]
    assert set(whole.dataset.data_vars) - set(plain.dataset.data_vars) == set(of_falls)
    for name in plain.dataset.data_vars:
        np.testing.assert_array_equal(whole.dataset[name], plain.dataset[name], err_msg=str(name))
    with monkeypatch.context() as patched:
        add = resuming.Log.add

        def killed(log: Any, step: int, *row: Any) -> None:
            if step == 28:
                raise KeyboardInterrupt
            add(log, step, *row)

        patched.setattr(resuming.Log, "add", killed)
        with pytest.raises(KeyboardInterrupt):
            train.run(tiny_run(**FOLLOWED), tiny_corpus())
    assert list(folder.glob("run-*/states/00000024")), "in a block"
    again = train.run(tiny_run(**FOLLOWED), tiny_corpus()).dataset
    for name in of_falls:
        np.testing.assert_array_equal(again[name], whole.dataset[name], err_msg=name)
        assert whole.dataset[name].dims == ("layer", "unit") and (whole.dataset[name] > 0).any()
