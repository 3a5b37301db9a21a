# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Pruning while training

# %% tags=["remove-input"]
from relusparsity.chapters.ch10_pruning_while_training.short import in_short

in_short()

# %% [markdown]
# *You will learn* how much faster training can get without its dead units, what their removal costs, and what it
# forecloses. *6 minutes to read; to run, five minutes the first time, then seconds.*
#
# **Question.** A summary of the paper {cite:p}`wild2024uncovering` names a "potential pruning in training regimes":
# units that are dead cost as much as any other, at every step. Is training faster without them, and as good?
#
# **What would falsify it.** Row 17 of the ledger fails if, at Wide, the run that loses its dead units comes to the
# dense run's loss (within half a percent) less than 1.3 times as fast, or later than a run that was narrow from its
# first step. Row 18 fails if widths that are chosen layer by layer from a run's first tenth do not beat one width for
# all layers.

# %% tags=["parameters", "remove-input"]
scale = "laptop"

# %% tags=["remove-input"]
from relusparsity import claims, scales, store
from relusparsity.chapters.ch10_pruning_while_training import bound, experiment, figures, stages, tables, words
from relusparsity.experiments import costs

# %% tags=["remove-input"]
laptop = store.recorded("pruning_while_training", "laptop")
bounds = {name: bound.bound(dataset) for name, dataset in bound.recorded().items()}

# %% [markdown]
# ## The bound first
#
# **Operations say what there is to save.** Of the floating-point operations of a training token, forward and backward,
# the MLPs take the share $m$: the rest is attention and the output layer. With a share $d$ of all hidden units gone, a
# step is at most so many times as fast:
#
# $$
# \text{bound} = \frac{1}{1 - m\,d}
# $$ (eq-bound)
#
# It is a bound by operations. Time may lie on either side: small matrices are slower for each operation, and the
# optimiser and the counters, which are not counted, shrink too. *Dead* means no firing for so many tokens: 1,048,576 in
# Wide and Mid, 65,536 in Laptop; such a unit may fire again. [Chapter 8](08_two_numbers.ipynb) has the recipes.

# %% tags=["remove-input"]
figures.over_training(bounds)

# %% tags=["remove-input"]
words.at_most(bounds)

# %% tags=["remove-input"] table="How many times as fast at most without the units that are dead then, by operations: at stages of the training, over the whole run, and over it with removals after 10, 25 and 50 % alone"
tables.bounds(bounds)

# %% [markdown]
# The fan-in recipes and *modern* are one run each, of a search; the others are the means of fresh seeds.
#
# ## Remove them
#
# **A removed unit takes everything with it**: its row and column of the two matrices, its bias, the optimiser's moments
# of these, its counters. What is left is a smaller dense model, for which the step is compiled again; the run still
# resumes to the bit. In the library:

# %% tags=["remove-input"]
words.lines_that_matter()

# %% tags=["remove-input"]
words.removed(laptop)

# %% tags=["remove-input"]
figures.units_left(laptop)

# %% tags=["remove-input"]
figures.loss(laptop)

# %% tags=["remove-input"]
words.came(laptop)

# %% tags=["remove-input"]
figures.bound_and_speed(stages.of(laptop))

# %% [markdown]
# ## Who would have come back
#
# Before the first removal, *dense* and *pruned* are one run. So the dense run says what the removed units would have
# done.

# %% tags=["remove-input"]
words.returned(laptop)

# %% [markdown]
# Others remove units in training too: in vision models, units that saturate {cite:p}`dufortlabbe2025demon`. A study of
# pruning language models under one schedule (IDEA Prune, [arXiv 2503.05920](https://arxiv.org/abs/2503.05920)) says
# what the bar is: a small model trained from scratch. Here that is *narrow*. And of the dead of Mid that fire again, most
# need no change of the network to do so: they are rare ([chapter 9](09_why_units_die.ipynb)).
#
# ## The runs that decide

# %% tags=["remove-input"]
words.to_come(bounds)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "What we expect of them", "code_prompt_hide": "Hide what we expect"} table="What we expect of the runs of Wide, written before they run"
tables.expected()

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "The sentences, with their chances", "code_prompt_hide": "Hide the sentences"} table="Sentences about the runs of Wide and the chance that we gave each before they run"
tables.chances()

# %% [markdown]
# *L* is 1.005 times the dense run's last loss; seconds are those of training alone, with compiling and removing apart.
# The ledger's rules are of 2026-11-28, these forecasts of 2026-11-30.
#
# ## Try it
#
# **1.** A model's MLPs take 80 % of the operations, and half of its units are dead. How many times as fast can a step
# be?
#
# :::{dropdown} Answer
# By {eq}`eq-bound` $1/(1 - 0.8 \cdot 0.5) \approx 1.67$. With all units dead it would be 5, and no more.
# :::
#
# **2.** Why is the bound over a run lower than at its last step?
#
# :::{dropdown} Answer
# Units die on the way: early steps have few dead ones to leave out.
# :::
#
# **3.** Units drawn by lot cost no more loss than the dead. Does it follow that dead units are as useful as others?
#
# :::{dropdown} Answer
# No. One seed cannot show it. Perhaps a model trained so briefly can spare any unit, and most of the dead come back.
# :::
#
# ## The same on your machine
#
# `papermill notebooks/10_pruning_while_training.py` trains the four runs here, or reads them back, and times a step of
# each width in turn. The fold shows those of the machine that built this page.

# %% tags=["nbval-ignore-output", "remove-input", "hide-output"] mystnb={"code_prompt_show": "The runs of this machine", "code_prompt_hide": "Hide this machine's runs"}
live_scale = scales.live(scale)
here = experiment.run(experiment.config(live_scale))
figures.loss(here, name="here")

# %% tags=["nbval-ignore-output", "remove-input"]
words.beside(laptop, here)

# %% [markdown]
# After training, `benchmarks/pruned_inference.py` times a model with and without its silent units at inference, and
# `python -m relusparsity export` writes a smaller one for transformers.
#
# ## Claims
#
# The ledger's rows on what removal buys. Neither has been tested.

# %% tags=["remove-input"]
claims.table(claims.evaluate({}, rows=claims.for_chapter(10)))

# %% [markdown]
# ## What we cannot say

# %% tags=["remove-input"]
words.cannot_say(laptop)

# %% [markdown]
# - **A bound is no speed.** What Wide gains in time on a GPU, with compiling, is for the runs to say.
# - **Some recipes kill fewer units** ([chapter 8](08_two_numbers.ipynb)). Whoever wants all units working changes the
#   recipe.

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Runs, minutes and machines", "code_prompt_hide": "Hide the cost"}
costs.cost({"Laptop": laptop})

# %% [markdown]
# Next: [measure your own model](11_measure_any_model.ipynb), or see [what pruning costs after
# training](05_pruning.ipynb).
