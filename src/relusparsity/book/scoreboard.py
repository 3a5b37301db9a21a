"""How many of the predictions that were written before their runs held, computed from the recorded data."""

from collections import Counter
from collections.abc import Iterator, Sequence
from html import escape

import pandas as pd

from ..chapters.ch05_pruning import forecasts
from ..chapters.ch08_two_numbers import runs, tables
from ..chapters.ch19_specialised_heads import experiment as birth
from ..chapters.ch19_specialised_heads import forecasts as of_heads
from ..claims import Outcome, Verdict
from ..claims.reading import LETTERS
from ..claims.table import model_of
from ..experiments import (
    attribution,
    dissociation,
    embedding_scale,
    endings,
    lazy_pictures,
    lazy_text,
    lazy_text_rates,
    other_half,
    outliers,
    preactivation_drift,
    sealing,
    search,
    sign_like_steps,
    sweep_table,
    width_or_rate,
)
from ..recipes import FROZEN
from ..store import results


def scores() -> Iterator[tuple[str, str, pd.Series]]:
    """What was predicted, the day it was written, and which held: true, false, or missing where the run has no end."""
    first, second = (results.recorded(name, "mid") for name in ("factorial", "other_half"))
    words = "Forecast of sixteen recipes from the other sixteen (Mid)"
    yield words, "2026-11-28", other_half.judged(first, second)["holds"]
    lead = results.recorded("lead", "wide")
    ends = {str(name): lead.sel(recipe=name) for name in lead["recipe"].values}
    yield "First three runs of the search for the paper's numbers (Wide)", search.DATE, endings.searched(ends)["holds"]
    words = "Fan-in matrices in Mid, beside the search"
    yield (
        words,
        search.DATE,
        endings.searched({search.MID.name: results.recorded("lead", "mid").isel(recipe=0)})["holds"],
    )
    yield (
        "Normal matrices at Wide's width on Mid's stream",
        sweep_table.row("rate_or_units", "mid").date,
        rate_or_units(),
    )
    words = "Thresholds for six runs of two earlier sweeps (Wide), written in words"
    yield words, sweep_table.row("equal_decay", "wide").date, tables.earlier(runs.recorded())["holds"]
    treated = dissociation.predicted(results.recorded("dissociation", "mid"))
    centred = ~treated["arm"].str.startswith("add")
    yield "Layers whose input is centred, and untreated ones (Mid)", "2026-11-28", treated.loc[centred, "holds"]
    yield "Layers to whose input a vector is added (Mid)", "2026-11-28", treated.loc[~centred, "holds"]
    scaled = results.recorded("embedding_scale", "mid")
    words = "What the scale of the embeddings is: γ and the emptiest layer of each run (Mid)"
    each = embedding_scale.predicted(scaled)
    known = each["arm"] == embedding_scale.named(*(of[0] for of in embedding_scale.LEVELS))  # *first* itself: a check
    yield words, embedding_scale.DATE, each.loc[~known, "holds"]
    yield "The same, four contrasts of its arms", embedding_scale.DATE, embedding_scale.contrasts(scaled)["holds"]
    words = "Layer 1 treated under Adafactor and SGD: each run (Mid)"
    other = results.recorded("sign_like_steps", "mid")
    yield words, sign_like_steps.DATE, sign_like_steps.predicted(other)["holds"]
    words = "What layer 1 keeps goes by the common direction, under two optimizers (Mid)"
    yield words, sign_like_steps.DATE, as_likely(sign_like_steps.judge(other))
    each = width_or_rate.predicted(results.recorded("width_or_rate", "mid"))
    known = each["arm"] == width_or_rate.named(8192, "Xavier", "same")  # *first* itself
    words = "Width, initial weights and output rate: each run so far (Mid)"
    yield words, width_or_rate.DATE, each.loc[~known, "holds"]
    forks = results.recorded("attribution", "mid")
    words = "Deaths that controls on the updates take away (Mid)"
    yield words, attribution.DATE, attribution.predicted(forks)["holds"]
    words = "The same, sentences on which of them do"
    yield words, "2026-11-30", as_likely(attribution.sentences(forks))  # the day of the last of them
    rare = results.recorded("outliers", "mid")
    words = "Deaths with larger gradients, or without the batches that have the largest (Mid)"
    yield words, outliers.DATE, outliers.predicted(rare)["holds"]
    yield "The same, sentences on whether outliers kill", outliers.DATE, as_likely(outliers.sentences(rare))
    frozen = results.recorded("sealing", "mid")
    yield (
        "Dead units of layer 2 that fire again, forks that freeze what wakes them (Mid)",
        sealing.DATE,
        sealing.predicted(frozen)["holds"],
    )
    yield "The same, sentences on what seals death", sealing.DATE, as_likely(sealing.sentences(frozen))
    pictures = results.recorded("lazy_pictures", "fashion")
    words = "Share of positive entries in vision Transformers, arm by arm (Fashion)"
    yield words, lazy_pictures.DATE, lazy_pictures.predicted(pictures)["holds"]
    yield (
        "The same, sentences on width, depth and data",
        lazy_pictures.DATE,
        as_likely(lazy_pictures.sentences(pictures)),
    )
    text = results.recorded("lazy_text", "spans")
    words = "Sentences on an encoder-decoder on text, those that its runs so far decide (Spans)"
    yield words, lazy_text.DATE, as_likely(lazy_text.sentences(text))
    rates = results.recorded("lazy_text_rates", "spans")
    words = "Share of positive entries in an encoder-decoder, by learning rate (Spans)"
    yield words, lazy_text_rates.DATE, lazy_text_rates.predicted(rates)["holds"]
    yield "The same, sentences on them", lazy_text_rates.DATE, as_likely(lazy_text_rates.sentences(rates))
    two = results.recorded("preactivation_drift", "laptop")
    words = "Change of that share in networks of two layers, by arm and optimizer"
    yield words, preactivation_drift.DATE, preactivation_drift.predicted(two)["holds"]
    words = "The same, sentences on whether sparsity turns with the theorem"
    yield words, preactivation_drift.DATE, as_likely(preactivation_drift.sentences(two))
    words = "Sentences on the heads of SmolLM2, taken away and on other text"
    yield words, of_heads.DATE, as_likely(of_heads.sentences(results.recorded("real_heads", "laptop")))
    born = results.recorded(birth.NAME, "laptop")
    yield "Highest induction score of small decoders, by arm", birth.DATE, birth.predicted(born)["holds"]
    yield "The same, sentences on how induction heads are born", birth.DATE, as_likely(birth.sentences(born))
    drawn = drawn_units()
    if drawn.notna().any():
        yield "Units drawn uniformly, and ties at random: what removing them costs (Wide, Mid)", forecasts.DATE, drawn


def as_likely(table: pd.DataFrame) -> pd.Series:
    """Whether sentences came out as their `chance` has it: under a half it says that they fail; of a half, neither."""
    said = table[table["chance"] != 0.5]
    return (said["holds"].astype(bool) == (said["chance"] > 0.5)).where(said["holds"].notna())


def drawn_units() -> pd.Series:
    """What was written of chapter 5's new draws; missing where the recorded dataset is of before them."""
    named = {"Wide, nearest": ("wide", "nearest"), "Wide, first": ("wide", "first"), "Mid, first": ("mid", "first")}
    models = {name: results.recorded("pruning", *of) for name, of in named.items()}
    return forecasts.predicted(models)["holds"]


def rate_or_units() -> pd.Series:
    """What was written of that sweep's run, as `sweep_table` has it: layers 5 and 0, and the loss beside its twin's."""
    run = results.recorded("rate_or_units", "mid").isel(recipe=0, seed=0)
    use = 100 * run["final_batch_use"].astype(float).mean("set")
    twin = results.recorded("capacity", "mid")["heldout_loss"].sel(seed=int(run["seed"]), d_ff=run.attrs["d_ff"])
    return pd.Series(
        {
            "layer 5 at 93 to 100 %": 93 <= float(use.sel(layer=5)) <= 100,
            "layer 0 at 80 to 100 %": 80 <= float(use.sel(layer=0)) <= 100,
            "the loss within 0.1 of the twin's": abs(float(run["final_loss"]) - float(twin)) <= 0.1,
        }
    )


Scores = Sequence[tuple[str, str, pd.Series]]
"""A forecast in words, the day it was written, and whether each of its parts held."""


def known() -> Scores:
    """`scores` without what has no end yet."""
    return [(words, written, holds.dropna().astype(bool)) for words, written, holds in scores()]


def markdown(told: Scores) -> str:
    """The scoreboard as a table, a row a forecast, and their sum."""
    rows = ["| forecast | written | held | of |", "|---|---|--:|--:|"]
    rows += [f"| {words} | <time>{written}</time> | {holds.sum()} | {len(holds)} |" for words, written, holds in told]
    held, of = _sum(told)
    return "\n".join([*rows, f"| **all** | | **{held}** | **{of}** |"])


def _sum(told: Scores) -> tuple[int, int]:
    return sum(int(holds.sum()) for *_, holds in told), sum(len(holds) for *_, holds in told)


def summary(told: Scores, outcomes: Sequence[Outcome]) -> str:
    """In two sentences: how many predictions held, and how rows fare that Wide decides with its chosen recipe.

    Parameters
    ----------
    told
        What `known` gives.
    outcomes
        Of `claims.evaluate` on the recorded datasets.
    """
    held, of = _sum(told)
    name = FROZEN["wide"]
    words = Counter(str(o.verdict) for o in outcomes if _of_wide(o, name))
    said = ", ".join(f"{number} {'is' if number == 1 else 'are'} {word}" for word, number in words.most_common())
    return (
        f"Of {of} predictions that were written before their runs, {held} held. Of {words.total()} "
        f"claims that Wide decides with the recipe *{name}*, in seeds that took no part in any search, {said}."
    )


def _of_wide(outcome: Outcome, recipe: str) -> bool:
    judged = outcome.scale.split(" + ")[-1] == "P" and outcome.verdict is not None and bool(outcome.readings)
    return judged and outcome.recipe.partition(":")[0] == recipe


OTHERS = "Other models"
"""Those of rows that say where their runs are made ("recorded", "any") and name no shape of a decoder."""


def failed(outcomes: Sequence[Outcome]) -> str:
    """The rows that did not come out, as a Markdown list: a line a model and recipe, each row a link to the ledger.

    Parameters
    ----------
    outcomes
        Of `claims.evaluate` on the recorded datasets, for each frozen recipe.
    """
    words = (Verdict.NOT_REPRODUCED, Verdict.INCONCLUSIVE)
    rows: dict[str, dict[Verdict, list[str]]] = {}
    for outcome in outcomes:
        if outcome.verdict in words and outcome.readings and not outcome.here:
            row = outcome.row
            link = f'<a href="ledger.html#row-{row.number}">{row.number} {escape(row.claim)}</a>'
            of = model_of(outcome) if outcome.scale.split(" + ")[-1] in LETTERS.values() else OTHERS
            rows.setdefault(of, {word: [] for word in words})[outcome.verdict].append(link)
    said = {of: [f"{word}: {', '.join(links)}" for word, links in each.items() if links] for of, each in rows.items()}
    return "\n".join(f"- **{of}**, {'; '.join(parts)}." for of, parts in said.items())
