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
# *You will learn* how many units can be taken out of a trained model at no cost, what the next ones cost, and why a
# random half is not always what it sounds like. *7 minutes to read, 3 to run once the Laptop models are trained.*
#
# **Question.** If many hidden units never or hardly ever fire, how many can be taken out of the trained model, and what
# does that cost? A third party's summary of Wild and Anderson {cite:p}`wild2024uncovering` reports that units can be
# pruned with "minimal impact"; how many were, and how chosen, is not known to us.
#
# **What would falsify it.** Silent units whose removal costs something. A half of the units, those that fire least,
# whose removal raises the loss by more than one percent. Or a draw at random that costs hardly more: then the rate
# would tell nothing. <a href="../ledger.html#row-12">Row 12 of the ledger</a> has the thresholds.

# %% tags=["parameters", "remove-input"]
scale = "laptop"

# %% tags=["remove-input"]
from relusparsity import plots, scales, store
from relusparsity.chapters.ch05_pruning import experiment, figures, forecasts, tables, words
from relusparsity.experiments import costs

# %% tags=["remove-input"]
nearest, first = (store.recorded("pruning", "wide", recipe) for recipe in ("nearest", "first"))
mid, laptop = (store.recorded("pruning", shape) for shape in ("mid", "laptop"))
wide = {"Wide, nearest": nearest, "Wide, first": first}
models = wide | {"Mid, first": mid}

# %% [markdown]
# ## What is removed, and what it costs
#
# To remove a unit is to delete its row of $W_\text{in}$, its bias and its column of $W_\text{out}$. The model is not
# trained again. The **cost** is the change of its loss $L$,
#
# $$\text{cost} = \frac{L(\text{pruned})}{L(\text{whole})} - 1$$ (eq-cost)
#
# in percent, with both losses in nats per token. Three ways choose what goes:
#
# - **Rate**: the units with the lowest firing rate, over all layers together.
# - **Magnitude**: those with the smallest $\lVert w_\text{in}\rVert\,\lVert w_\text{out}\rVert$, *as many from each
#   layer* as rate takes.
# - **The matched draw**: units at random, again *as many from each layer* as rate takes. It asks which units of a layer
#   go, and not from which layers they come.
#
# The library's lines that do it:

# %% tags=["remove-input"]
tables.lines_that_matter()

# %% tags=["remove-input"]
words.split(nearest)

# %% [markdown]
# Our models are **Wide** (by two recipes), **Mid** and **Laptop** (6 × 1,024). Layers are counted from 0.
#
# ## Silent units cost nothing

# %% tags=["remove-input"]
words.silent(models)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "What removing the silent units does", "code_prompt_hide": "Hide the table"} table="What removing the silent units does: mean over seeds and their range; of a logit, for units silent on the very text that is read"
tables.silent(models)

# %% [markdown]
# Whether silent units are dead is [chapter 3](03_neuron_death.ipynb)'s question.
#
# ## Half of all units

# %% tags=["remove-input"]
words.half(wide)

# %% tags=["remove-input"]
plots.pruning(nearest, evaluation="c4-eval")

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "The same for Wide, first", "code_prompt_hide": "Hide Wide, first"}
plots.pruning(first, evaluation="c4-eval")

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "The same for Mid", "code_prompt_hide": "Hide Mid"}
plots.pruning(mid, evaluation="c4-eval")

# %% tags=["remove-input"] table="What half of all units costs, percent of the loss on C4: mean over seeds and their range"
tables.half(models)

# %% tags=["remove-input"]
words.weights(wide, mid)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Every share. Wide, nearest: cost on C4, %, mean over seeds", "code_prompt_hide": "Hide the costs"}
tables.costs(nearest)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Every share. Wide, first: cost on C4, %, mean over seeds", "code_prompt_hide": "Hide the costs"}
tables.costs(first)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Every share. Mid, first: cost on C4, %, mean over seeds", "code_prompt_hide": "Hide the costs"}
tables.costs(mid)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Loss, bits per byte and right first guesses on C4 without half of the units. Wide, nearest", "code_prompt_hide": "Hide the measures"}
tables.quality(nearest, 0.5)

# %% [markdown]
# ## Ties, and what they make of the matched draw

# %% tags=["remove-input"]
words.ties(nearest)

# %% tags=["remove-input"]
figures.taken(models)

# %% tags=["remove-input"]
words.matched(wide)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "What we expect of both draws, written before their runs: cost in % of the loss on C4", "code_prompt_hide": "Hide what we expect"}
forecasts.table(models)

# %% [markdown]
# ## Beyond the silent units

# %% tags=["remove-input"]
words.beyond(models)

# %% tags=["remove-input"]
figures.beyond(models)

# %% tags=["remove-input"]
words.asked(models)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "How near the recorded shares come to what row 12b reads", "code_prompt_hide": "Hide the table"} table="How near the recorded shares come to what row 12b reads, and what removal costs there"
tables.beyond(models)

# %% [markdown]
# ## Try it
#
# **1.** Remove a tenth of all units of Wide, nearest, by rate. From which layers do they come? And if ties were broken
# at random?

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Answer", "code_prompt_hide": "Hide the answer"}
words.tenth(nearest)

# %% [markdown]
# **2.** A uniform draw takes half of each layer. Which takes more of the units that fire in Wide, nearest: that draw,
# or the matched draw of half of all units?

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Answer", "code_prompt_hide": "Hide the answer"}
words.firing_hit(nearest)

# %% [markdown]
# ## The same on your machine

# %% tags=["remove-input"]
words.laptop(laptop)

# %% [markdown]
# `papermill notebooks/05_pruning.py` prunes Laptop here, once its models are trained.

# %% tags=["nbval-ignore-output", "remove-input", "hide-output"] mystnb={"code_prompt_show": "Laptop: recorded, and on this machine", "code_prompt_hide": "Hide Laptop"}
live_scale = scales.live(scale)
here = experiment.run(experiment.config(live_scale))
plots.pruning(laptop, here)

# %% tags=["nbval-ignore-output", "remove-input", "hide-output"] mystnb={"code_prompt_show": "Ties at random, and a uniform draw: Laptop on this machine", "code_prompt_hide": "Hide the draws"}
figures.drawn(plots.on_this_machine(here))

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Laptop's silent units (recorded; loss on held-out text)", "code_prompt_hide": "Hide the table"}
tables.silent({"Laptop": laptop})

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Every share. Laptop: cost on held-out text, %, mean over seeds (recorded)", "code_prompt_hide": "Hide the costs"}
tables.costs(laptop)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "The largest share that costs at most 1 % of the loss on held-out text, % of units. Laptop, by seed (recorded)", "code_prompt_hide": "Hide the shares"}
tables.affordable(laptop, percent=1)

# %% [markdown]
# ## What we cannot say
#
# - **A uniform draw, and ties broken at random**, are not recorded in Wide or Mid. Nor are fresh seeds for row 12b.
# - **Other text.** A unit that fires once in a million tokens, or never here, may serve another domain; its removal
#   would show there.
# - **The best that pruning can do.** Removing a little, training on and removing again is known to go further.
# - **Better scores.** Firing rate ignores how much a unit says when it fires.
#
# ## Claims
#
# Row 12 is judged on C4, with units silent on a million tokens. What it calls "random half" is the matched draw, and
# its verdict stands for that draw alone. In Wide the half that fires least is silent, so that the test of five times as
# much could hardly fail: what the row repeats is our rule, not the pruning of Wild and Anderson, which we do not know.

# %% tags=["remove-input"]
tables.judged(nearest, first, mid)

# %% tags=["nbval-ignore-output", "remove-input", "hide-output"] mystnb={"code_prompt_show": "Rows 12 and 12b, read from the run of this machine", "code_prompt_hide": "Hide the rows"}
tables.read_here(here)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Runs, minutes of training and machines", "code_prompt_hide": "Hide the cost"}
costs.cost(models | {"Laptop": laptop})

# %% [markdown]
# ## What next
#
# Would a narrower layer have used the same units? [Chapter 6](06_limits_and_capacity.ipynb) changes the width. What
# removal costs your own model: [chapter 11](11_measure_any_model.ipynb).
