# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Limits and capacity
#
# **Question.** A layer that leaves most of its units idle may simply have too many. If it were given fewer, would it
# use the *same number*, or the same *share*? And how far can a model as small as the laptop's stand in for the paper's
# at all? The paper {cite:p}`wild2024uncovering` itself speaks of the "limitations of small-ReLU models".
#
# **What would falsify it.** That a layer's need for units saturates would be refuted by a number of used units that
# keeps growing in proportion to the width. That small models mislead would be refuted by layers that stand in the same
# order in both: the ledger's row 14 compares the order by a rank correlation, Kendall's τ, with a threshold of 0.6
# written before any run.

# %% tags=["parameters"]
scale = "laptop"

# %%
from relusparsity import claims, plots, results, scales
from relusparsity.experiments import capacity, recipes

# %% [markdown]
# ## What is varied, what is counted
#
# The models differ in $d_\text{ff}$, the number of hidden units of every layer, and in nothing else: same text, same
# recipe, same number of training tokens. **Used units** are those that fire at least once in 8,192 held-out tokens,
# the mean over several such sets, the same sets for every model. It is batch use times $d_\text{ff}$: a count, since
# the question is about numbers.
#
# The width that all chapters share was trained with three seeds, each other width with one. What one seed is worth
# must therefore be read from the spread of the three.

# %%
recorded = results.recorded("capacity", "laptop")
capacity.by_width(recorded, "parameters").assign(seeds=recorded["heldout_loss"].count("seed")).astype(int)

# %% [markdown]
# ## Does the number of used units saturate?
#
# Both axes are logarithmic. On the dotted line every unit is used; a curve parallel to it uses a fixed share, however
# wide the layer; a curve that turns flat has found all the units that it can use. Look at the layers one by one: they
# need not agree.

# %%
plots.width(recorded)

# %% [markdown]
# The factor by which the number of used units grows when the width doubles. Two is a fixed share, one is saturation.
# The last row is the yardstick: what changing only the seed does. A growth within that spread of one (or of two)
# cannot be told from it.

# %%
capacity.growth(recorded)

# %% [markdown]
# A batch is one window among many. At a *single token* the count of firing units may behave quite differently, and it
# is the one that decides how much work a token needs. Units that fire at one held-out token, mean:

# %%
capacity.by_width(recorded, "token_units").round(1)

# %% [markdown]
# Width is only worth something if it pays. The loss on the same held-out text (nats a token) belongs beside every
# count:

# %%
capacity.by_width(recorded, "heldout_loss").round(3)

# %% [markdown]
# How to read the three together. If used units grow with the width while the loss falls, the added units do work, and
# idle ones are not yet a sign of excess. If used units grow and the loss does not fall, the layer spreads the same
# work over more units. If used units stop growing, the layer has what it needs from *this* text in *this* training
# time; a longer training may ask for more, or close more units down.
#
# ## Which layer empties is a matter of the recipe
#
# All models of this book so far share one recipe. Here sixteen recipes are trained on English text at a larger size
# (6 layers of 8,192 units, width 512, 49 million tokens each, two seeds), a factorial in five ingredients: whether the
# output layer is tied to the embeddings, the scale of the initial embeddings, weight decay, the initial matrices, and
# the learning rate. A panel is a recipe, with its loss above it. Compare the panels: is there one pattern?

# %%
factorial = results.recorded("recipes", "factorial")
plots.recipes(factorial)

# %% [markdown]
# The ends, in percent, with the layer that is lowest in each of the two seeds. A layer number means little where all
# layers are near 100.

# %%
recipes.endings(factorial)

# %% [markdown]
# Two readings hold without any statistics. The seeds agree far better than the recipes do, so the pattern belongs to
# the recipe. And where a layer empties at all, it is not always the same one: with small embeddings it comes earlier
# than with large ones. So a sentence about "the" first layer of a ReLU Transformer needs its recipe with it, ours
# included. This is a first look: effects with intervals, and the recipe nearest to the paper's numbers, are work to come.
#
# ## What a small ReLU model cannot show
#
# - **Which layer collapses.** With a narrow residual stream every layer sees much the same input, and the order of the
#   layers may follow from that. Row 14 below puts this to the test as soon as both scales are recorded.
# - **Rare units.** A unit that fires once in a million tokens is invisible to a batch of 8,192 tokens and hardly
#   visible in the held-out text of a small corpus. Wide layers are where such units would live.
# - **The end of training.** Whether use has settled, or would go on falling for a hundred times as many tokens, cannot
#   be seen in minutes of training.
# - **Fine shares.** In the narrowest model here a single unit is a share of:

# %%
print(f"{100 / recorded['d_ff'].values.min():.2f} points of use; in the paper's layers {100 / 32768:.4f}")

# %% [markdown]
# What it *can* show is cheap and worth having: whether the layers of one model come apart at all, whether that happens
# under training and not before, how far the seed decides it, and every measurement of this book, checked in minutes
# before a large run is paid for.
#
# ## On this machine

# %% tags=["nbval-ignore-output"]
live_scale = scales.live(scale)
here = capacity.run(capacity.config(live_scale))
plots.width(here)

# %% tags=["nbval-ignore-output"]
capacity.growth(here)

# %% [markdown]
# ## Claims
#
# Row 14 needs two scales, the laptop's and the paper's. While one of them is not recorded, it says so.

# %%
patterns = results.recorded("layer_patterns", "laptop")
claims.table(claims.evaluate({("layer_patterns", "laptop"): patterns}, rows=claims.for_chapter(6)))

# %% [markdown]
# ## Limits, cost, what next
#
# - **One seed** at every width but one, and only a few doublings. A factor close to its yardstick is no finding.
# - **Equal tokens, not equal compute**, and one learning rate for all widths. The best rate shifts with the width, so
#   a wide model may be trained less well than it could be.
# - **Width alone.** The number of layers and the width of the residual stream are capacity too.
#
# What the recorded runs of the shared width cost:

# %%
print(results.provenance(recorded)["environment"]["device"])
print("wall seconds, one a seed:", results.provenance(recorded)["wall_seconds"])

# %% [markdown]
# This ends the paper's own part. What remains is to use it: on your own text, recipe or model.
