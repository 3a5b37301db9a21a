# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Model and training

# %% tags=["remove-input"]
from relusparsity.chapters.ch01_model_and_training.short import in_short

in_short()

# %% [markdown]
# *You will learn* what we train, how much of it the paper fixes, and what training does to the share of units that fire
# at a token. *5 minutes to read, 10 to run.*
#
# **Question.** What exactly is trained here, how much of that does the paper {cite:p}`wild2024uncovering` fix, and do
# the models learn? Chapters 2 to 5 read their numbers off these runs, so a choice that is not declared here would hide
# in all of them.
#
# **What would falsify it.** A held-out loss that stays near that of guessing: such a model says nothing about trained
# models. And layers that are sparse before the first step: then their sparsity would not be the work of training.

# %% tags=["parameters", "remove-input"]
scale = "laptop"

# %% tags=["remove-input"]
from relusparsity import claims, scales, store
from relusparsity.chapters.ch01_model_and_training import experiment, figures, tables, words
from relusparsity.experiments import layer_patterns

# %% tags=["remove-input"]
wide, mid, laptop = (store.recorded("layer_patterns", name) for name in ("wide", "mid", "laptop"))
recorded = store.recorded("training", "laptop")

# %% [markdown]
# Our models have three names, by the hidden units of their six layers: **Wide** (6 × 32,768, as many as the paper's),
# **Mid** (6 × 8,192) and **Laptop** (6 × 1,024). Wide is trained by the recipe *nearest*, Mid by *first*, Laptop by
# *default*.
#
# ## The model
#
# **Units are counted at one place: behind the ReLU of a two-layer MLP.** The model is a decoder-only
# Transformer. Each layer has attention and an MLP without a gate:
#
# $$
# \begin{aligned}
# a &= \max(0,\; W_\text{in}\, x + b_\text{in}) \\
# \text{MLP}(x) &= W_\text{out}\, a + b_\text{out}
# \end{aligned}
# $$ (eq-mlp)
#
# The $d_\text{ff}$ entries of $a$ are the *hidden units* of the layer. A unit *fires* at a token where its activation is
# strictly above zero. The *token use* of layer $\ell$ at token $t$ is the share of its units that fire there:
#
# $$u_\ell(t) = \frac{1}{d_\text{ff}}\,\bigl|\{\,i : a_{\ell,t,i} > 0\,\}\bigr|.$$ (eq-token-use)
#
# It is given in percent. *Batch use* is the share that fire at least once in 8,192 held-out tokens
# ([chapter 2](02_layer_patterns.ipynb)). Layers are counted from 0.
#
# These are the library's own lines of the MLP. `count` is told at how many tokens of each sequence each unit fires,
# `observe` gets the activations themselves:

# %% tags=["remove-input"]
tables.lines_that_matter()

# %% [markdown]
# ## Before and after training

# %% tags=["remove-input"]
words.sparse(wide, mid, laptop)

# %% tags=["remove-input"]
figures.at_a_token(wide, mid, laptop)

# %% tags=["remove-input"]
words.unused(wide)

# %% [markdown]
# ## Do they learn?

# %% tags=["remove-input"]
words.learned(wide, mid)

# %% tags=["remove-input"] table="Loss before and after training, bits per byte and accuracy"
tables.endings(wide, mid, laptop)

# %% tags=["remove-input"]
words.two_losses(wide, mid, laptop)

# %% tags=["remove-input"]
figures.loss_curves(wide)

# %% tags=["remove-input"]
words.memory(wide, mid)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "The curve of Mid", "code_prompt_hide": "Hide the curve"}
figures.loss_curves(mid)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Every seed's final loss", "code_prompt_hide": "Hide the seeds"}
tables.per_seed(wide, mid, recorded)

# %% [markdown]
# ## What the source says, and what we chose
#
# **The paper fixes the layers, their MLP and the window of batch use; nearly everything else is our choice.** We know its
# abstract, its first page and a third party's summary. What they state is in the column W&A. Ten of the
# choices, and why:

# %% tags=["remove-input"] table="The ten choices that matter most: what the source says, ours, and why"
tables.main_choices(wide, mid, laptop)

# %% [markdown]
# With vocabularies of different size, losses per token cannot be compared; so bits per byte of text are given too.
#
# :::{dropdown} Text and tokenizer of the recorded runs
# Wide and Mid read Wikipedia, books and transcripts in English; without such files the library streams C4 for them. Their
# runs were given a tokenizer file; training one on the bytes in *corpus.tokenizer_bytes*, below, gives the same. Laptop
# reads the documentation of Python packages (their docstrings), which every installation brings along.
# :::

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Every field of the configuration", "code_prompt_hide": "Hide the fields"} table="Every field of the configuration: what the source says, and ours"
tables.choices(wide, mid, laptop)

# %% [markdown]
# ## Size and cost
#
# **A point of use stands for ten units in Laptop and for hundreds in Wide.** So read the first two rows before any
# percentage.

# %% tags=["remove-input"] table="Size and cost of one run of each model"
tables.sizes(wide, mid, laptop)

# %% [markdown]
# :::{dropdown} How operations are counted
# They are floating-point operations, six per matrix parameter and token and some for the attention scores: the count of
# [PaLM](https://arxiv.org/abs/2204.02311), appendix B, with the output layer.
# [Kaplan et al.](https://arxiv.org/abs/2001.08361), section 2.1, count half as many for the scores.
# :::
#
# ## What we cannot say
#
# - **The recipe is ours.** Where the table says *not known to us* the paper may have chosen otherwise. Agreement and
#   disagreement are with this recipe.
# - **What width does** is not told by these three. They differ in recipe and length too, Laptop also in its text;
#   [chapter 6](06_limits_and_capacity.ipynb) changes one thing at a time.
# - **Training is short.** Every model has more parameters than training tokens, and its loss still falls at the end.
# - **Each shape has one text.** Losses of Laptop and of the others cannot be compared, not even in bits per byte.
#
# ## Try it
#
# **1.** Read it off the first figure: which layer of Wide has the most units firing at a token, and how many are they?

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Answer to 1", "code_prompt_hide": "Hide the answer"}
words.answer_units(wide)

# %% [markdown]
# **2.** Mid and Laptop end at nearly the same loss in nats per token. Do they predict their texts equally well?

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Answer to 2", "code_prompt_hide": "Hide the answer"}
words.answer_losses(laptop, mid)

# %% [markdown]
# ## The same on your machine
#
# Everything above is recorded data. `papermill notebooks/01_model_and_training.py` trains Laptop here, three seeds with
# ReLU and one with GELU, or reads the runs back if they are there; with `-p scale smoke` it trains models for a test, in
# seconds. Another processor rounds differently and training amplifies that, so the last digits can differ.

# %% tags=["nbval-ignore-output", "remove-input", "hide-output"] mystnb={"code_prompt_show": "Loss curves of this machine over the recorded ones", "code_prompt_hide": "Hide the curves"}
live_scale = scales.live(scale)
here = experiment.run(experiment.config(live_scale))
figures.loss_curves(recorded, here)

# %% tags=["nbval-ignore-output", "remove-input", "hide-output"] mystnb={"code_prompt_show": "Final losses beside the recorded ones", "code_prompt_hide": "Hide the losses"} table="Final losses of Laptop: recorded, and on this machine"
tables.beside(recorded, here)

# %% tags=["remove-input"]
words.gelu(recorded)

# %% [markdown]
# A GELU unit below zero still passes a small negative value on, so nothing can be skipped. The table counts its
# activations above zero: how much of the drift to negative pre-activations comes without a hard zero.

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Token and batch use of Laptop before and after training, ReLU and GELU, in percent", "code_prompt_hide": "Hide the use"}
tables.baseline(recorded)

# %% [markdown]
# ## Claims
#
# The ledger's row that this chapter decides reads the median over tokens, of each layer, at the end of the same runs. It
# is judged on Wide and Mid; Laptop stands beside them without a verdict.

# %% tags=["remove-input"]
every = {("layer_patterns", dataset.attrs["scale"]): dataset for dataset in (wide, mid, laptop)}
claims.table(claims.evaluate(every, rows=claims.for_chapter(1)))

# %% tags=["nbval-ignore-output", "remove-input", "hide-output"] mystnb={"code_prompt_show": "The same row, read from the run of this machine", "code_prompt_hide": "Hide the row"}
own_patterns = layer_patterns.run(layer_patterns.config(live_scale))
own = claims.evaluate({}, {("layer_patterns", live_scale): own_patterns}, rows=claims.for_chapter(1))
claims.table([outcome for outcome in own if outcome.here])

# %% [markdown]
# ## What next
#
# [Chapter 2](02_layer_patterns.ipynb) shows what each layer does with its units while it learns. To measure a model of
# your own, go to [chapter 11](11_measure_any_model.ipynb).
