# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lazy neurons

# %% tags=["remove-input"]
from relusparsity.chapters.ch12_lazy_neurons.short import in_short

in_short()

# %% [markdown]
# *You will learn* how sparse a Transformer becomes that nobody asked to be sparse, what width, depth and data have to do
# with it, and how far a theorem explains it. *8 minutes to read; to run, seconds; the pictures are of a GPU.*
#
# **Question.** The paper of the first chapters trains a decoder on English. Li et al., in *The Lazy Neuron Phenomenon*
# {cite:p}`li2023lazy`, say that sparsity comes by itself in other Transformers too. An **entry** is what one hidden unit
# of an MLP gives at one token; after ReLU 3.0 % of them are positive in an encoder-decoder (T5-Base), 6.3 % in a vision
# Transformer (ViT-B/16). The wider and the deeper, the fewer; and the data have little to do with it. Is it so in small
# ones?
#
# **What would falsify it.** Row 21 of the ledger fails if more than 15 % of the entries of a vision Transformer are
# positive at 85 % accuracy on Fashion-MNIST. Row 22 fails if the share does not fall with width, or their count does
# not rise, or deep models are not below shallow ones. Row 23 fails if, with nothing to learn, the share ends above half
# of its start. Row 24 fails if the gradient at the first step is not the theorem's within 10 %.

# %% tags=["parameters", "remove-input"]
scale = "laptop"

# %% tags=["remove-input"]
from relusparsity import claims, scales, store
from relusparsity.chapters.ch12_lazy_neurons import chosen, figures, read, tables, text, words
from relusparsity.experiments import costs, lazy_pictures, lazy_rows, written

pictures, spans = store.recorded("lazy_pictures", "fashion"), store.recorded("lazy_text", "spans")
rates = store.recorded("lazy_text_rates", "spans")

# %% tags=["remove-input"]
from relusparsity.experiments import first_gradient, first_gradient_by_layer, preactivation_drift

first, by_layer, drift = read.measured(first_gradient, first_gradient_by_layer, preactivation_drift)

# %% [markdown]
# ## Pictures
#
# A vision Transformer cuts a picture into patches; each is a token. The share of positive entries is the token use of
# [chapter 2](02_layer_patterns.ipynb), averaged over the layers. The class token never counts.

# %% tags=["remove-input"]
words.of_pictures(pictures)

# %% tags=["remove-input"]
figures.over_training(read.as_it_is(pictures))

# %% tags=["remove-input"]
words.on_the_way(pictures)

# %% tags=["remove-input"]
words.recipe(pictures)

# %% [markdown]
# ## Wider, deeper

# %% tags=["remove-input"]
words.of_size(pictures)

# %% tags=["remove-input"]
figures.widths(read.by_width(pictures))

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Row 22, seed by seed", "code_prompt_hide": "Hide the seeds"} table="Rank correlation (Kendall's τ) of the share and of the count with the width, and the shares of the shallowest and the deepest model, in percent. Equal loss: read where all come to one held-out loss"
tables.by_size(pictures)

# %% [markdown]
# A wide model learns faster for each token, so equal tokens are not equal training. The ledger asks for the trend at
# equal loss, too: each model is read where it first comes to a loss that all of them reach.
#
# ## Is it the data?

# %% tags=["remove-input"]
words.of_data(pictures)

# %% tags=["remove-input"]
words.of_noise(pictures)

# %% tags=["remove-input"]
figures.no_data(read.by_data(pictures))

# %% tags=["remove-input"] table="Share of positive entries on the test, percent: mean of three seeds, with the range at the end. Of units that fire, silent units: on the validation pictures at the end. Training loss: of the last steps"
tables.shares(pictures)

# %% [markdown]
# So a low share is not one thing. On pictures all units take part and each fires seldom; on fresh noise a part of the
# units fires often and the rest not at all. Percent per token cannot tell them apart; silent units and batch use can
# ([chapter 2](02_layer_patterns.ipynb)).

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "What we had written of the pictures", "code_prompt_hide": "Hide what we had written of the pictures"} table="Share of positive entries at the end, percent: intervals written before the runs, and what came. Mean of three seeds"
written.came(lazy_pictures, pictures, 1)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "The sentences on pictures", "code_prompt_hide": "Hide the sentences on pictures"} table="Sentences about the runs on pictures, the chance that we gave each before them, and what came"
written.said(lazy_pictures, pictures)

# %% [markdown]
# ## Text

# %% tags=["remove-input"]
text.learned(spans)

# %% tags=["remove-input"]
chosen.rate(rates)

# %% tags=["remove-input"]
chosen.found(rates)

# %% tags=["remove-input"]
figures.stacks(read.by_stack(rates))

# %% tags=["remove-input"]
chosen.windows(rates)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Layer by layer", "code_prompt_hide": "Hide the layers"} table="Positive entries before training and at the end, and units that fire, are silent on the final held-out sets, or fire at less than a tenth of the tokens, percent. Mean of three seeds"
chosen.table(rates)

# %% tags=["remove-input"]
text.noise(spans)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "The first rate, run by run", "code_prompt_hide": "Hide the runs"} table="Positive entries at the end and silent units on the final held-out sets, percent; loss in nats per token. An encoder-decoder of 61 million parameters"
text.table(spans)

# %% tags=["remove-input"]
text.to_come(spans, rates)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "What we had written of the encoder-decoder", "code_prompt_hide": "Hide what we had written of it"} table="Positive entries at the end, percent: intervals written before the runs, and what came. The two rates were written of after four runs"
text.expected(spans, rates)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "The sentences on text", "code_prompt_hide": "Hide the sentences on text"} table="Sentences about the encoder-decoder, the chance that we gave each before its runs, and what came"
text.chances(spans, rates)

# %% [markdown]
# ## The first step
#
# Li et al. prove why activations fall at the start. Take a network whose last layer $V$ is drawn at random with mean
# zero and variance $\mathrm{Var}(V)$, and cross-entropy over $K$ classes, with labels that do not depend on $V$. Where a
# pre-activation $p_i$ is above 0, the gradient of the loss $\ell$ is positive, in the mean over $V$. Its size, to first
# order in $V$ (our step), with activation $a_i$:
#
# $$
# \mathbb{E}\left[\frac{\partial \ell}{\partial p_i}\right] = a_i \mathrm{Var}(V) \left(1 - \frac{1}{K}\right)
# $$ (eq-push)
#
# So a step of gradient descent lowers it. The labels need not make sense: any active unit makes the network surer of
# some class, and with labels that it cannot know, being sure costs. Of squared error the same proof gives
# $K a_i \mathrm{Var}(V)$, and another term where $V$ has a mean, whose sign the targets' mean can turn.

# %% tags=["remove-input"]
words.of_two_layers(first)

# %% tags=["remove-input"] table="Mean gradient at pre-activations above 0 before the first step; above 0: in how many seeds. 512 units, 100 classes, V of standard deviation 0.02"
tables.first_step(first)

# %% [markdown]
# A mean of $V$ changes nothing under cross-entropy, which does not see what all classes share. Under squared error it
# does, and targets above what comes out turn the sign.

# %% tags=["remove-input"]
words.of_layers(by_layer)

# %% tags=["remove-input"] table="Layers whose positive entries the first step pushes down or up, or whose 95 % interval has 0 inside (open): real labels, 40 seeds. Each seed is read twice, with a layer's second matrix and its negative, so that odd terms cancel. Scale held: the division by the standard deviation is a constant. Smoke: 6 × 64 units, Laptop: 6 × 1,024, Digits: 6 × 256"
tables.by_layer(by_layer)

# %% [markdown]
# ## Over whole runs
#
# One step is not training. Here smaller networks of two layers (64 units, 10 classes, 128 samples that stay) train for
# 300 steps, on labels that keep the theorem's terms or break them, by gradient descent and by Adam.

# %% tags=["remove-input"]
words.over_runs(drift)

# %% tags=["remove-input"]
figures.ends(read.whole_runs(drift))

# %% tags=["remove-input"]
figures.drift(read.whole_runs(drift))

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "All arms in numbers", "code_prompt_hide": "Hide the numbers"} table="Share of positive entries before and after 300 steps, in how many seeds it rises, how far the mean pre-activation p moves, and how far by the theorem's gradient alone, where labels, or V, are not learned"
tables.over_runs(drift)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "What we had written of these runs", "code_prompt_hide": "Hide what we had written of these runs"} table="Change of the share of positive entries, in points: intervals written before the runs, and what came. Mean of 20 seeds"
written.came(preactivation_drift, drift, 2)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "The sentences on these runs", "code_prompt_hide": "Hide the sentences on these runs"} table="Sentences about the runs of two layers, the chance that we gave each before them, and what came"
written.said(preactivation_drift, drift)

# %% [markdown]
# ## Try it
#
# **1.** A layer of 1,000 units fires 20 % per token. Can all units be in use? Can half of them be dead?
#
# :::{dropdown} Answer
# Both. All units may fire at a fifth of the tokens each; or 500 never fire and the others at two fifths (40 %).
# :::
#
# **2.** By {eq}`eq-push`, what happens to the push if $V$ is drawn half as large?
#
# :::{dropdown} Answer
# A quarter of it is left, since the variance is a quarter. A single gradient halves, so the push drowns in it.
# :::
#
# **3.** Why does the sign turn when the labels are the network's own guess?
#
# :::{dropdown} Answer
# Those labels depend on $V$: a unit that made the guess has a weight of the right sign, and is asked for more.
# :::
#
# ## The same on your machine
#
# `papermill notebooks/12_lazy_neurons.py` measures the first step anew, in seconds. Pictures come by `make models
# ONLY="digits fashion-mnist"`. `python -m relusparsity train --scale digits` trains a small vision Transformer here, in
# a minute; `make record SCALE=fashion ONLY="lazy_pictures"` trains all of the above, an hour and a half of a GPU.
# `make record ONLY="first_gradient_by_layer preactivation_drift"` measures what the theorem's tables and figures show.

# %% tags=["nbval-ignore-output", "remove-input", "hide-output"] mystnb={"code_prompt_show": "The first step on this machine", "code_prompt_hide": "Hide this machine's first step"} table="The same as above, measured by the machine that built this page"
here = first_gradient.run(first_gradient.config(scales.live(scale)))
tables.first_step(here)

# %% [markdown]
# ## Claims
#
# The ledger's rows on sparsity that comes by itself. Row 20 is read where the encoder-decoder
# learned most, which is little.

# %% tags=["remove-input"]
recorded = {("lazy_pictures", "fashion"): pictures, ("first_gradient", "laptop"): first}
recorded |= {("first_gradient_by_layer", "laptop"): by_layer, ("lazy_text_rates", "spans"): rates}
rules = lazy_rows.RULES | first_gradient.RULES
claims.table(claims.evaluate(recorded, rows=claims.for_chapter(12), rules=rules))

# %% [markdown]
# ## What we cannot say
#
# - **What makes a large model sparser.** That of Li et al. has thirty times the weights and sees ImageNet; we changed
#   width and depth, not the data.
# - **What learning random labels would do.** None of these runs did.
# - **What the theorem says of later layers and later steps.** Its terms (a random $V$, nothing else behind it) hold at
#   the first step of the last layer alone. Forty seeds cannot tell a small push from none.
# - **GELU.** There an entry above 0 is no firing unit; its row counts pre-activations above 0.

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Runs, minutes and machines", "code_prompt_hide": "Hide the cost"}
costs.cost({"Fashion": pictures, "Spans": spans, "Spans, other rates": rates})

# %% [markdown]
# Next: [measure your own model](11_measure_any_model.ipynb), or see [why units die](09_why_units_die.ipynb).
