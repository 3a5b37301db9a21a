# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Feature specificity

# %% tags=["remove-input"]
from relusparsity.chapters.ch04_feature_specificity.short import in_short

in_short()

# %% [markdown]
# **Question.** Do the units of the first and of the last layer represent *differently specific* things? The paper
# {cite:p}`wild2024uncovering` names "Feature Specificity" without a formula that we can read, so the two measures
# below are ours and declared so.
#
# **What would falsify it.** Measures that do not differ between first and last layer once units of *equal firing
# rate* are compared; or that differ with another sign from seed to seed. Row 13 of the ledger sets the threshold, a
# Cliff's δ {cite:p}`cliff1993dominance` of at least 0.33, and asks it of both measures.

# %% tags=["parameters"]
scale = "laptop"

# %%
import pandas as pd

from relusparsity import claims, plots, scales, store
from relusparsity.chapters.ch04_feature_specificity import experiment, tables

# %% [markdown]
# ## Two measures, each against chance
#
# A rare unit looks specific whatever it does: with three firings it cannot fire on many words. So each measure is
# held against random firing of *equal count*, and a unit with fewer than 100 firings has none.
#
# - **Within-sequence rate**: of the tokens of a sequence, the share at which the unit fires, given that it fires
#   there at all. With $k$ firings in $s$ sequences of $T$ tokens, $k / (s\,T)$. Random firing of equal count would
#   reach $k / (\hat s\,T)$, where $\hat s$ is the number of sequences that $k$ random tokens hit. A ratio above 1
#   means that firings bunch in sequences: the unit follows a topic, a document, a style.
# - **Token selectivity**: $1 - H / H_k$, where $H$ is the entropy of the unit's firings over token types and $H_k$
#   that of $k$ random tokens of the same text. It is 0 for a unit that fires on tokens as they come, and 1 for one
#   that fires on a single type: the unit follows a word.
#
# A unit may be high in one and low in the other.

# %%
recorded = store.recorded("feature_specificity", "laptop")
enough = recorded["firing_count"] >= 100
print(f"{recorded.attrs['sample_tokens']:,} held-out tokens, {recorded.sizes['seed']} seeds")
print("units with 100 firings or more, of", recorded.sizes["unit"], "a layer, mean over seeds:")
enough.sum("unit").mean("seed").to_series().round(1)

# %% [markdown]
# ## Specificity against firing rate
#
# Read vertically: at one firing rate, which layer lies higher? The upper panel shows how far firings bunch in
# sequences, the lower one how far they keep to few words. Points of different layers at different rates must not be
# compared.

# %%
plots.specificity(recorded)

# %% [markdown]
# Medians over the units of a layer that have both measures, mean over seeds. This table does *not* hold the firing
# rate equal, so it describes the layers and decides nothing; the δ of the claims at the end does hold it equal.

# %%
described = recorded[["within_sequence_rate", "token_selectivity"]]
described["times_random"] = recorded["within_sequence_rate"] / recorded["within_sequence_rate_random"]
described = described.median("unit").assign(top_type_share=recorded["top_type_share"])
described.mean("seed").to_dataframe().astype(float).round(3)

# %% [markdown]
# `times_random` is the within-sequence rate over that of random firing, `top_type_share` the share of a unit's
# firings on its commonest token type. In a layer that detects words it is high.
#
# ## What single units fire on
#
# Numbers of specificity are worth little if one never looks. Looking is worth little if one picks what looks good. So
# the rule was stated before: in every layer of the first seed, among units with 100 firings or more,
#
# 1. the unit with the highest token selectivity,
# 2. the unit at the median of it,
# 3. the unit with the highest within-sequence rate relative to random firing.
#
# The token types that each fires on most often, with their shares of its firings (⏎ is a line end, ␣ a space):

# %%
pd.set_option("display.max_colwidth", None)
tables.units(recorded)

# %% [markdown]
# And the three strongest activations of each in context, at most one per sequence. The token at which the unit fires
# stands in double brackets; what follows it the unit has not seen. First the most selective unit of every layer:

# %%
tables.contexts(recorded, "most selective")

# %% [markdown]
# The unit at the median of selectivity, for how ordinary units look:

# %%
tables.contexts(recorded, "median selectivity")

# %% [markdown]
# The unit whose firings bunch most in sequences. Here the kind of text around the token matters as well:
# headings, addresses, arrays.

# %%
tables.contexts(recorded, "most clustered")

# %% [markdown]
# Strongest activations flatter: they show where a unit is surest and hide the bulk of its weaker firings. The table
# of token types counts every firing alike; where the two tell different stories, believe the counts.
#
# ## The Wide models
#
# Wide has 6 × 32,768 units and is read on a million tokens of English. Only units with enough firings appear, so the
# silent ones of the chapter before are not among them.

# %%
wide = store.recorded("feature_specificity", "wide")
plots.specificity(wide)

# %% [markdown]
# Here first and last layer part more clearly than in Laptop. At equal firing rate the units of the last layer keep more
# to some sequences, in every seed by more than the ledger asks, and more to some words, by as much in one seed of
# three. Few units of layer 1 are left to look at. What they fire on, the most selective unit of every layer and the one
# whose firings bunch most:

# %%
tables.units(wide).drop(index="median selectivity", level="example_rule")

# %%
tables.contexts(wide, "most clustered")

# %% [markdown]
# In Mid, five seeds with *first*, first and last layer part in both measures, a little more in token selectivity, and
# in neither by as much as the ledger asks. So the difference depends on the size, or on the recipe and the length of
# the training, which differ too.

# %%
mid = store.recorded("feature_specificity", "mid")
plots.specificity(mid)

# %% [markdown]
# ## On this machine
#
# Everything above is recorded data. The same, run here (or read back, if it has run before):

# %% tags=["nbval-ignore-output"]
live_scale = scales.live(scale)
here = experiment.run(experiment.config(live_scale))
plots.specificity(plots.on_this_machine(here))

# %% [markdown]
# ## Claims
#
# δ compares first and last layer within strata of equal firing count, ten per decade. It is the share of pairs in which
# the last layer's unit is the higher one minus the share in which the first layer's is. The row is judged on Wide and
# Mid (the ledger's P and S); the recorded Laptop runs stand beside it.

# %%
scales_of = {"wide": wide, "mid": mid, "laptop": recorded}
every = {("feature_specificity", name): dataset for name, dataset in scales_of.items()}
claims.table(claims.evaluate(every, rows=claims.for_chapter(4)))

# %% [markdown]
# The same row read from the run of this machine:

# %% tags=["nbval-ignore-output"]
own = claims.evaluate({}, {("feature_specificity", live_scale): here}, rows=claims.for_chapter(4))
claims.table([outcome for outcome in own if outcome.here])

# %% [markdown]
# ## Limits, cost, what next
#
# - **The measures are ours.** They ask whether firing keeps to few words and bunches in sequences. Specific to a
#   *meaning* that many words can carry is a third thing, which neither sees.
# - **Common units are compared, rare ones left out.** A layer of many rare units is judged by its busiest.
# - **Token selectivity looks at the current token only.** In deeper layers the state of a token holds more of its
#   context, so a low selectivity there need not mean a vague unit.
# - **Random firing ignores time.** It is the plainest null; one that keeps bursts but shuffles words would be
#   stricter.
#
# The training runs are those of the chapters before; what their weights are read with here is this sample, once per
# layer.

# %%
for dataset in (wide, mid, recorded):
    print(store.provenance(dataset)["environment"]["device"])
    print("wall seconds of training, one a seed:", store.provenance(dataset)["wall_seconds"])

# %% [markdown]
# Next: if so many units are silent or rare, what does the model lose when they are taken out?
