"""What chapter 19 says of the heads of a model that others trained; the dataset chooses the words."""

import numpy as np
import xarray as xr

from ...claims.short import Said
from ...plots.reading import how_many
from ...store import results
from . import rows
from .figures.removed import left
from .figures.scores import FUNCTIONS, LEAST, MODEL, scores

REST = "first token"
"""Where heads look that do nothing else."""


def held(dataset: xr.Dataset) -> xr.DataArray:
    """Whether a score of a function is `LEAST` or more: (score, reading, layer, head), NaN where not measured."""
    of = scores(dataset, "words").sel(score=[each.name for each in FUNCTIONS])
    return (of >= LEAST).where(of.notnull())


def of_map(dataset: xr.Dataset) -> Said:
    """How many heads have a function, and how many several."""
    each = held(dataset).sel(reading="text")
    heads, several = each[0].size, int((each.sum("score") > 1).sum())
    rest = each.sel(score=REST)
    beyond = int((each.drop_sel(score=REST).sum("score") > 0).sum())
    lower = int(((each.sel(score="induction") > 0) & (dataset["copying"].sel(weights=rows.TRAINED) < 0)).sum())
    names = [name for name in each["score"].values.tolist() if name != REST]
    counts = ", ".join(f"{int(each.sel(score=name).sum())} ({name})" for name in names)
    return Said(
        f"**{beyond} of {heads} heads of {MODEL} have a function beyond looking at the first token, which "
        f"{int(rest.sum())} do.** Four scores are functions here, copying is none, and a head has one where its "
        f"score is {LEAST:g} or more, "
        f"a line of our choice: {counts}. {several} heads have several. Of the induction heads {lower} have a negative "
        "copying score: they look at the right place and, by their weights, do not raise what they read. Walk through "
        "them: choose a score, a head and a sentence, and see what a token looks at."
    )


def of_controls(dataset: xr.Dataset) -> Said:
    """Which functions stay without training, or without the order of the text."""
    number = held(dataset).sum(("layer", "head"))
    trained = number.sel(reading="text")
    random = number.sel(reading="random weights")
    names = number["score"].values.tolist()
    untrained = [f"{int(random.sel(score=name))} ({name})" for name in names if int(random.sel(score=name))]
    first = 100 * dataset["attention_first"].astype(float).mean(("layer", "head"))
    delimiters = number.sel(score="delimiters")
    if int(random.sum()):
        told = f"With the numbers of every matrix in random order, heads still score: {', '.join(untrained)}"
    else:
        told = f"With the numbers of every matrix in random order, none of these {int(trained.sum())} scores is left"
    shuffled = held(dataset).sel(reading="shuffled")
    asked = [name for name in names if bool(shuffled.sel(score=name).notnull().any())]
    outlive = sum(2 * int(number.sel(score=name, reading="shuffled")) >= int(trained.sel(score=name)) for name in asked)
    made = "most" if int(random.sum()) else "all"
    return Said(
        f"**Training makes {made} of it; {outlive} of {len(asked)} functions outlive a shuffle** (of induction it "
        f"cannot "
        f"be asked). {told}. With the tokens of each sequence in "
        f"random order, {int(number.sel(score='previous token', reading='shuffled'))} heads still look at the previous "
        f"token (text: {int(trained.sel(score='previous token'))}), {int(delimiters.sel(reading='shuffled'))} at "
        f"delimiters ({int(delimiters.sel(reading='text'))}), and the first token gets "
        f"{float(first.sel(reading='shuffled')):.0f} % of all attention "
        f"({float(first.sel(reading='text')):.0f} % on text, {float(first.sel(reading='random weights')):.0f} % with "
        "random weights). A place is looked at whatever stands there."
    )


def read(dataset: xr.Dataset) -> Said:
    """What was read for all of this, and how heads are taken away."""
    of, pieces = results.provenance(dataset)["config"], dataset.sizes["piece"]
    return Said(
        f"Read were beginnings of speeches and of a novel, {of['seq_len']} tokens of each; for induction, "
        f"{of['draws']} "
        f"sequences of {of['period']} random tokens that come twice; for the gain, {pieces} pieces of {of['piece']} "
        f"tokens "
        f"of English, and as many of random tokens. Row 44 takes 2 % of the heads, "
        f"{int(dataset['ablated'][1].sum())}. A "
        "head's mean is over all tokens of the same text in the intact model; a draw takes as many heads from each "
        "layer "
        "as the five lie in, and none of the five. The model is SmolLM2-135M-Instruct at about four bits a weight."
    )


def of_removed(dataset: xr.Dataset) -> Said:
    """What is lost without the heads of highest induction score, and without as many others."""
    lost = 100 - left(dataset)
    top = {(text, way): float(lost.sel(evaluation=rows.TOP, text=text, way=way)) for text, way in PLACES}
    drawn = lost.sel(evaluation=list(rows.DRAWN), text=rows.ENGLISH, way=rows.MEAN)
    heads = int(dataset["ablated"].sel(evaluation=rows.TOP).sum())
    gain = float(rows.gain(dataset).sel(evaluation=rows.NONE))
    judged = top[rows.ENGLISH, rows.MEAN]
    head = f"{how_many(heads, 'head').capitalize()} of {dataset['ablated'][0].size} carry"
    share = f"{judged:.0f} % of what {MODEL} gains from reading a text twice"
    asked = "more" if judged >= rows.LEAST else "less"
    return Said(
        f"**{head} {share}, {asked} than row 44 asks for.** A second reading of English saves {gain:.2f} nats per "
        f"token. With each head's mean in its place, the {heads} of the highest induction score take {judged:.0f} % of "
        f"that with them; as many others of the same layers {float(drawn.mean()):.1f} % in the mean of {drawn.size} "
        f"draws and {float(drawn.max()):.1f} % at the most. Of random tokens, where nothing else helps, they take "
        f"{top[rows.RANDOM_TOKENS, rows.MEAN]:.0f} %. With zero in their place it is "
        f"{top[rows.ENGLISH, rows.ZERO]:.0f} and {top[rows.RANDOM_TOKENS, rows.ZERO]:.0f} %."
    )


PLACES = [(text, way) for text in (rows.ENGLISH, rows.RANDOM_TOKENS) for way in (rows.MEAN, rows.ZERO)]


def matching(dataset: xr.Dataset) -> float:
    """The highest induction score of a head, mean over draws."""
    return float(np.max(rows.scores(dataset)))
