# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Pruning

# %% tags=["remove-input"]
from relusparsity.chapters.ch05_pruning.short import in_short

in_short()

# %% [markdown]
# *You will learn* how many units can be taken out of a trained model, chosen in which way, and at what cost. *7 minutes to
# read, 2 to run once the Laptop models are trained.*
#
# **Question.** If many hidden units never or hardly ever fire, how many can be taken out of the trained model, and
# what does that cost? A third party's summary of the paper {cite:p}`wild2024uncovering` reports that units can be pruned
# with "minimal impact"; how many were, and how they were chosen, is not known to us.
#
# **What would falsify it.** Silent units whose removal costs something. A half of the units, those that fire least,
# whose removal raises the loss by more than one percent. Or a random half that costs hardly more: then the firing rate
# would not be what makes units dispensable, and the model would simply be too large. The thresholds are row 12 of the
# ledger.

# %% tags=["parameters"]
scale = "laptop"

# %%
from relusparsity import claims, plots, scales, store
from relusparsity.chapters.ch05_pruning import experiment, tables

# %% [markdown]
# ## What is removed, and how its cost is measured
#
# To remove unit $u$ of a layer is to delete its row of $W_\text{in}$, its bias and its column of $W_\text{out}$. The
# model is not trained again afterwards. The **cost** is the change of the loss on held-out text,
#
# $$\text{cost} = \frac{L(\text{pruned})}{L(\text{whole})} - 1 ,$$ (eq-cost)
#
# in percent of nats per token. Three ways to choose what goes:
#
# - **rate**: the units with the lowest firing rate, over all layers together. How many leave each layer follows from
#   that.
# - **magnitude**: the units with the smallest $\lVert w_\text{in}\rVert\,\lVert w_\text{out}\rVert$, *as many from
#   each layer* as rate removes.
# - **random**: units drawn at random, again as many from each layer; the mean over a few draws.
#
# Equal counts in each layer matter. Layers differ in what they can spare, and without them a method could look better
# merely for taking its units from the right layer.
#
# Firing is counted on one part of the held-out text and the loss is measured on another, so that no unit is judged on
# the text that chose it:

# %%
recorded = store.recorded("pruning", "laptop")
for name in ("silent_sample_tokens", "evaluation_tokens", "random_draws", "d_ff"):
    print(f"{name}: {recorded.attrs[name]:,}")

# %% [markdown]
# ## Removing silent units costs nothing
#
# A unit that outputs zero everywhere on a text contributes nothing there, whatever its weights. Masking it (weights
# set to zero, shapes kept) must leave the logits the same to the bit; removing it makes the matrices smaller, sums are
# rounded in another order, and the logits may move by about a hundred-thousandth. The last two columns show the
# largest change of any logit, for units silent on the very text that is evaluated.
#
# The first two columns ask the harder question: units that were silent on the *other* text are removed. Some of them
# may have been rare rather than dead, and fire here. (The loss differs from chapter 1's: this is another part of the
# held-out text.)

# %%
tables.silent_removal(recorded)

# %% [markdown]
# Chapter 3 asks how many of the silent units are dead. Here it is enough that a unit which fires once in some
# hundred thousand tokens cannot matter much for the mean loss; it may still matter for the one text that it is about.
#
# ## What more can go
#
# Remove more. The bars show which layers the units are taken from, here when half of all are gone; the curves below,
# what that costs. Two places to look at: how far the curve of *rate* stays at zero, and where the other two leave it.

# %%
plots.pruning(recorded)

# %% [markdown]
# The same in numbers: change of the loss in percent, mean over seeds.

# %%
tables.costs(recorded)

# %% [markdown]
# The largest share that each method can remove for at most one percent of loss, in percent of all hidden units, one row
# per seed (among the shares that were measured, and only if all smaller shares are affordable too):

# %%
tables.affordable(recorded, percent=1)

# %% [markdown]
# A loss is an average that may hide a change of kind, so here are three measures after removing half of the units: loss
# in nats per token, bits per byte, and the share of tokens predicted first.

# %%
tables.quality(recorded, 0.5)

# %% [markdown]
# How to read these tables. The distance between *rate* and *random* is the worth of knowing how often a unit fires. It
# can be negative: a unit that fires rarely may say much when it does, and then counting its firings misjudges it. The
# distance between *magnitude* and *random* shows how much of that the weights alone reveal: a unit that stopped firing
# early had no gradient to keep its weights up against weight decay, and could be found without any text. In Laptop the
# weights do at least as well as the rate up to half of the units. And where *rate* removes many units at no cost, the
# bars say from which layers they came.
#
# What it saves: a layer's MLP costs work and memory in proportion to the units left in it, so the bars are also the
# cost of inference, relative to the whole model. Nothing was retrained, and no sparse kernel is needed, since smaller
# matrices are dense.
#
# ## The Wide models
#
# The same on Wide, 6 × 32,768 units. Units are ranked by their firings on a million held-out tokens, and the cost is
# measured on other held-out text and, as below, on C4, a web text that the models were not trained on. Up
# to the share of silent units nothing is lost at all, and beyond it the curve leaves zero at once.

# %%
wide = store.recorded("pruning", "wide")
plots.pruning(wide)

# %%
tables.silent_removal(wide, "c4-eval")

# %% [markdown]
# Here a GPU multiplies in TF32, which rounds to ten bits, so other shapes of the same sums move a logit by about a
# hundredth rather than a hundred-thousandth; masked, they still agree to the bit. Change of the loss on C4 in percent,
# mean over seeds:

# %%
tables.costs(wide, "c4-eval")

# %% [markdown]
# Laptop behaves differently (size, text and recipe differ together). There firing rates are spread out, and after the
# first fifth each further step costs more. Here units fall into two heaps, the silent and those that fire a hundred
# times and more in a million tokens, with next to none between. That makes the first three fifths of the units free;
# and because dead units have lost their weights to weight decay, the weights alone find nearly all of them. Among units
# that never fire the rate decides nothing: they go layer by layer from the first, so that the first tenth is all taken
# from layer 0, and up to the share of silent units the bars show this order, not what a layer can spare. A random
# choice of as many units in the same layers costs from the first tenth on, and much.
#
# In Mid, five seeds of *first*, a recipe with less decay, a smaller share is silent, so the free part ends earlier, at
# a third of the units, and a random choice costs less, on average, than in Wide, also beyond the silent units of both.
# The weights alone are no guide here: units chosen by magnitude cost more than as many chosen at random in the same
# layers. Change of the loss on C4 in percent, mean over seeds:

# %%
mid = store.recorded("pruning", "mid")
tables.costs(mid, "c4-eval")

# %%
tables.silent_removal(mid, "c4-eval")

# %% [markdown]
# ## On this machine
#
# Everything above is recorded data. The same, run here (or read back, if it has run before):

# %% tags=["nbval-ignore-output"]
live_scale = scales.live(scale)
here = experiment.run(experiment.config(live_scale))
plots.pruning(recorded, here)

# %% tags=["nbval-ignore-output"]
tables.silent_removal(here)

# %% [markdown]
# ## Claims
#
# The ledger's row is judged on Wide and Mid (the ledger's P and S), on C4 text and with units silent on a million
# tokens. Laptop's values stand beside it, without a verdict and with the reasons.

# %%
scales_of = {"wide": wide, "mid": mid, "laptop": recorded}
every = {("pruning", name): dataset for name, dataset in scales_of.items()}
claims.table(claims.evaluate(every, rows=claims.for_chapter(5)))

# %% [markdown]
# The same row, read from the run of this machine:

# %% tags=["nbval-ignore-output"]
own = claims.evaluate({}, {("pruning", live_scale): here}, rows=claims.for_chapter(5))
claims.table([outcome for outcome in own if outcome.here])

# %% [markdown]
# ## Limits, cost, what next
#
# - **One text for Laptop.** Units are chosen and judged on text of the same kind. A unit that idles here may serve
#   another domain; its removal would show there. For Wide the cost was also read on C4; other domains were not.
# - **One shot.** Removing a little, training on and removing again is known to go further. The numbers here are a
#   floor, not the best that pruning can do.
# - **Simple scores.** Firing rate ignores how much a unit says when it fires; weighing each firing by its size would
#   be the next score to try.
# - **A model with room to spare is easy to prune.** How much of this is the size of the model is the next chapter's
#   question.
#
# What the recorded training runs cost (pruning itself is some dozens of forward passes):

# %%
for dataset in (wide, mid, recorded):
    print(store.provenance(dataset)["environment"]["device"])
    print("wall seconds of training, one a seed:", store.provenance(dataset)["wall_seconds"])

# %% [markdown]
# Next: would a narrower layer have used the same units?
