"""Runs of encoder-decoders in what experiments share: stacked by recipe and seed, each layer by its own tokens."""

from dataclasses import replace as changed
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures_core import tiny_corpus, tiny_run
from relusparsity import plots, train
from relusparsity.errors import UserError
from relusparsity.experiments import shared, variants
from relusparsity.plots.written import from_json
from relusparsity.span_config import SpanConfig
from relusparsity.store.schema import OF_TEXT
from spans_made import SPANS, text, tiny_spans

pytestmark = pytest.mark.usefixtures("one_thread")
SHORT = {"train.tokens": 1280, "measure.points": 2, "train.snapshots": 0, "train.resume_every": 0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("spans")


@pytest.fixture(autouse=True)
def there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELUSPARSITY_RUNS", str(folder))


def trained(**changes: Any) -> train.Run:
    config = tiny_spans(**SHORT, **changes)
    return train.run(config, text(config.corpus))


def of_more_spans() -> train.Run:
    """Half of each text is cut out, so that the decoder predicts 17 tokens, not 5."""
    denser = changed(SPANS, spans=SpanConfig(density=0.5, sentinels=10))
    return trained(
        **{"corpus": denser, "model.target_len": denser.target_len, "model.vocab_size": denser.vocab_size, "seed": 0}
    )


def test_recipes_and_seeds_are_stacked_with_the_names_of_their_layers() -> None:
    runs = [trained(seed=seed) for seed in (0, 1)]
    changes: dict[str, dict[str, Any]] = {"as it is": {}, "wider": {"model.d_ff": 64}}
    by_recipe = variants.stack([runs[0].dataset, trained(seed=0, **changes["wider"]).dataset], changes, "smoke")
    by_seed = shared.stack(runs, shared.Config("smoke", "default", tuple(run.config for run in runs)))
    for name in ("heldout_loss", "final_loss", "batch_use", "final_batch_use"):
        np.testing.assert_array_equal(by_recipe[name][0, 0], runs[0].dataset[name])
        np.testing.assert_array_equal(by_seed[name], [run.dataset[name] for run in runs])
    for stacked in (by_recipe, by_seed):
        assert stacked.layer_name.values.tolist() == ["encoder 0", "decoder 0", "decoder 1"]
        assert not set(OF_TEXT) & set(stacked)


def test_own_tokens_are_those_of_each_recipe_where_they_differ() -> None:
    runs = [trained(seed=0).dataset, of_more_spans().dataset]
    stacked = variants.stack(runs, {"as it is": {}, "more spans": {"corpus.spans.density": 0.5}}, "smoke")
    for place, run in enumerate(runs):
        for name in ("layer_positions", "window_tokens"):
            np.testing.assert_array_equal(stacked[name].isel(recipe=place), run[name])
    assert stacked.layer_positions.values.tolist() == [[16, 5, 5], [16, 17, 17]]
    assert stacked.layer_name.dims == ("layer",), "what all have alike is said once"


def test_an_encoder_decoder_and_a_decoder_are_not_stacked() -> None:
    other = train.run(tiny_run(**{"model.n_layers": 3}, **{"train.tokens": 640, "measure.points": 2}), tiny_corpus())
    changes: dict[str, dict[str, Any]] = {"spans": {}, "text": {}}
    for runs in ([trained(seed=0).dataset, other.dataset], [other.dataset, trained(seed=0).dataset]):
        with pytest.raises(UserError, match="spans, text are models of EncoderDecoderConfig and ModelConfig: expected"):
            variants.stack(runs, changes, "smoke")


def test_rates_of_units_are_drawn_of_each_layers_own_tokens_under_its_name() -> None:
    run = trained(seed=0)
    data = shared.stack([run], shared.Config("smoke", "default", (run.config,)))
    figure = plots.layer_to_units(data)
    panels = from_json(figure.chart).panels
    assert [panel.title.partition(":")[0] for panel in panels] == ["encoder 0", "decoder 0", "decoder 1"]
    for layer, (panel, own) in enumerate(zip(panels, 24 * np.array([16, 5, 5]), strict=True)):
        counts = data.final_firing_count[0, layer].values
        rates = np.log10(100 * counts[counts > 0] / own)
        bars = panel.marks[0]
        drawn = np.repeat(np.array(bars.x, dtype=float), np.round(np.array(bars.y, dtype=float) * 32 / 100).astype(int))
        np.testing.assert_allclose(np.sort(rates), np.sort(drawn), atol=0.126)  # within half a bin
    assert "over 120 to 384 held-out tokens" in figure.caption
    assert "in encoder" in figure.title or "in decoder" in figure.title
    decoders = plots.layer_to_units(data.isel(layer=[1, 2]))
    assert "over 120 held-out tokens" in decoders.caption and "layer" not in decoders.title


def test_layers_of_two_stacks_are_not_drawn_under_numbers() -> None:
    run = trained(seed=0)
    data = shared.stack([run], shared.Config("smoke", "default", (run.config,)))
    with pytest.raises(UserError, match="these are encoder 0, decoder 0, decoder 1, which layer_to_units draws"):
        plots.batch_use(data)
