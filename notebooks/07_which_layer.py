# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Which layer empties

# %% tags=["remove-input"]
from relusparsity.chapters.ch07_which_layer.short import in_short

in_short()

# %% [markdown]
# *You will learn* which choices of a recipe move the emptiest layer, which number of a layer's input tells it early,
# and what happened when we turned that number down and up. *9 minutes to read, 1 to run.*
#
# **Question.** Wild and Anderson {cite:p}`wild2024uncovering` speak of the first layer. Our models empty another one:
# which, and why that one?
#
# **What would falsify our answers.** The first fails if all recipes share one pattern. The second fails if a layer
# empties without a common direction in its input, or if a placebo moves it as far as the treatment: then that direction
# marks emptying and does not cause it. <a href="../ledger.html#row-15">Row 15 of the ledger</a>, a claim of ours, has
# stricter thresholds, written before the runs.

# %% tags=["parameters"]
scale = "laptop"
layer = 3  # which layer's input is treated in the run of this machine, counted from 0
treatment = "add 2"  # what is done to it: see *On this machine*

# %% tags=["remove-input"]
from relusparsity import claims, plots, scales, store
from relusparsity.chapters.ch07_which_layer import experiment, figures, tables, trajectories, treatments, words
from relusparsity.experiments import costs, dissociation, other_half, recipe_effects
from relusparsity.plots.explorable import MID, Explorable

# %% tags=["remove-input"]
first, second = (store.recorded(name, "mid") for name in ("factorial", "other_half"))
cells, named = other_half.both(first, second), trajectories.named(other_half.both(first, second))
single, treated, embedded = (store.recorded(name, "mid") for name in ("exploration", "dissociation", "embedding_scale"))
mid, nearest = (store.recorded("layer_patterns", shape) for shape in ("mid", "wide"))
wide = store.recorded("layer_patterns", "wide", "first")

# %% [markdown]
# A layer *empties* as fewer of its hidden units fire in a batch of 8,192 held-out tokens: its batch use falls. Layers
# are counted from 0. Our models are **Wide** (6 layers of 32,768 units), **Mid** (6 × 8,192), where nearly all of this
# was run, and **Laptop** (6 × 1,024). Two recipes have names, *first* and *nearest*: we found them while searching for
# W&A's numbers, and froze them ([chapter 8](08_two_numbers.ipynb)).
#
# ## Where a model empties: 32 recipes
#
# **Which layer empties goes by the scale of the initial embeddings.** Five ingredients at two levels each make 32
# recipes for Mid, two seeds each, which differ in nothing else (where the output matrix is tied to embeddings of
# standard deviation 1, the logits are divided by $\sqrt{d_\text{model}}$). Look for one pattern that all recipes share.

# %% tags=["remove-input"]
Explorable([first, second], MID)

# %% tags=["remove-input"]
words.recipes(cells)

# %% [markdown]
# ### What each ingredient does
#
# How full layer 0 ends depends on four of the five ingredients, *which* layer is the
# lowest on the embeddings, and how full layer 5 ends mostly on the learning rate. An *effect* is the mean at an
# ingredient's high level (the larger number, *tied*, Xavier) minus that at its low one. Shares are compared as logits.

# %% tags=["remove-input"]
found = recipe_effects.effects(cells, last=True)
figures.ingredients(found)

# %% [markdown]
# The first two endpoints were named before the runs, the third after them. Pairs matter too: what one ingredient does
# to layer 0 depends on the others.

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "All effects on the lowest layer, pairs included", "code_prompt_hide": "Hide the effects"} table="Effects on the index of the emptiest layer, pairs included. Mid"
recipe_effects.table(found, recipe_effects.LOWEST)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "All effects on layer 0, pairs included", "code_prompt_hide": "Hide the effects"} table="Effects on layer 0's batch use, logits, pairs included. Mid"
recipe_effects.table(found, recipe_effects.USE)

# %% [markdown]
# ### A forecast, and how it failed
#
# **Half of the recipes predict where the other half empties, and mostly how far; they miss the extremes.** From the
# main effects and pairs of the first sixteen we wrote down a forecast of the others before they ran. The two counts
# hold. Both sentences on extremes fail: layer 0 falls further than we said, and the recipe at the edge of the design
# leaves more of layer 2.

# %% tags=["remove-input"] table="What was forecast of the other sixteen recipes, and what came. Mid"
tables.forecast(other_half.judged(first, second))

# %% [markdown]
# ### How far to trust it
#
# - **Two seeds.** A seed is a block; what the two still differ by is the error (Student's t, 95 %). A layer's index is a
#   small whole number, for which t is a rough guide.
# - **Full layers.** A share of one has no logit, so half a unit is added on both sides. Six recipes have no layer under
#   99 %; without them the effect of the embeddings on the lowest layer is the same.
# - **Unequal losses.** Recipes with tied large embeddings learn worst: their pattern is that of a model less far in
#   training.

# %% tags=["remove-input"]
words.counted(cells)

# %% [markdown]
# What a difference is worth: standard deviations of batch use at the end, in points.

# %% tags=["remove-input"]
from relusparsity.chapters.ch07_which_layer import yardstick

streams = store.recorded("residual_stream", "mid")
again = [embedded.sel(recipe="std 0.02, speed 3 %, positions 1"), streams.sel(recipe="stream 512, 8,192 units")]
yardstick.table([mid, *again], cells)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Without the recipes that keep every layer full", "code_prompt_hide": "Hide the comparison"} table="Effects on the emptiest layer, with and without the six full recipes. Mid"
recipe_effects.without_full_recipes(cells)

# %% [markdown]
# ## One ingredient at a time
#
# **The place of the norm and the positions move the emptiest layer too.** One change at a time, one seed each:
# exploration. *Another layer empties* with the norm after the block (layer 3, alone), without positions (layer 2) and
# with large embeddings (layer 3; that recipe changes more than them). *No layer empties far* with rotary positions, a
# norm on the embeddings, or batches four times as large (a quarter of the steps, and the highest loss). *Not told from
# another seed:* RMSNorm for LayerNorm, and no biases.

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "The fourteen recipes in numbers", "code_prompt_hide": "Hide the table"} table="Batch use (percent) and loss of fourteen recipes. Mid, one seed"
tables.one_at_a_time(single)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "The fourteen recipes over training", "code_prompt_hide": "Hide the figure"}
plots.recipes(single, name="one-ingredient")

# %% [markdown]
# ## A number that tells it early: γ
#
# The input of a layer's MLP, after the norm, is one vector per token. Write $\mu_\ell$ for its mean over tokens and
# $\sigma_\ell$ for its standard deviation, feature by feature. Then
#
# $$\gamma_\ell = \frac{\lVert\mu_\ell\rVert}{\lVert\sigma_\ell\rVert}$$ (eq-gamma)
#
# is how large what all tokens have in common is beside what tells them apart; γ (gamma) has no unit. Where it is large,
# a unit whose weights point away from the mean is off at every token. The same number of its input predicts which
# features of a sparse autoencoder start dead {cite:p}`simon2026outliers`.

# %% tags=["remove-input"]
figures.gamma(mid, named, cells)

# %% tags=["remove-input"]
words.named(named)

# %% [markdown]
# This is exploration: seen after the runs, with the moment chosen after looking, and two seeds of a recipe are not
# independent. An empty layer may also raise its γ rather than follow from it. That takes an intervention.
#
# ## The layer that was spared, and the layer that was emptied
#
# The treated runs start from *first*: tied embeddings of standard deviation 0.02, Xavier matrices, pre-LayerNorm,
# learned positions, decay 1, rate 6e-4. It empties layers 1 and 2 and keeps layer 5. One layer's input is treated all
# through training, and also when the layer is measured. *Centre* subtracts its running mean; *add 2* adds one random
# vector, orthogonal to the mean and twice as long as $\sigma$.
#
# Each has a **placebo**, which adds the same change at a random half of the tokens and subtracts it at the others, by a
# sign drawn for each. It does much itself: centring's takes the mean away at a half of the tokens and doubles it at the
# other half, and a unit is in use if it fires at one or more of 8,192 tokens.

# %% tags=["remove-input"]
tables.lines_that_matter()

# %% tags=["remove-input"]
figures.spared_and_emptied(treated)

# %% tags=["remove-input"]
treatments.judged(treated)

# %% [markdown]
# Either the rule asked too much of these placebos, or a change without a common direction moves a layer, too: a random ±μ
# fills it, a random ±vector empties it. We have no account of why; for layers 1 and 5 these runs cannot tell the two apart.

# %% tags=["remove-input"] table="Treatments beside their placebos: batch use of the treated layer at the end, percent. Mid, first"
treatments.beside(treated)

# %% tags=["remove-input"]
treatments.further(treated)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "All treatments of layers 0, 1 and 5", "code_prompt_hide": "Hide the treatments"} table="Batch use and γ of treated layers at the end. Mid, first, three seeds"
tables.treated(treated)

# %% [markdown]
# ## Other optimizers
#
# A step of AdamW moves every weight about as far, however small its gradient; Adafactor evens steps out by row and column
# of a matrix; SGD (momentum 0.9) does not. Does a layer empty only by such even steps? Layer 1 again, three seeds.

# %% tags=["remove-input"]
from relusparsity.chapters.ch07_which_layer import optimizers, widths

other, wider = (store.recorded(name, "mid") for name in ("sign_like_steps", "width_or_rate"))
optimizers.found(other, treated)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Layer 1 under Adafactor and SGD", "code_prompt_hide": "Hide the table"} table="Layer 1 under Adafactor and SGD, at the end. Mid, first, three seeds"
optimizers.table(other)

# %% [markdown]
# ## What "the scale of the embeddings" is
#
# **It is three things, and the standard deviation alone does not choose the layer.** The three are the standard
# deviation of the embeddings, the share of themselves by which a step moves them, and how large the learned positions
# are beside them. We crossed them by *first* at Mid (tied embeddings, three seeds, 49 million tokens), and wrote before
# the runs that the positions' scale would matter most.

# %% tags=["remove-input"]
words.scale(embedded)

# %% tags=["remove-input"] table="What was written of the embeddings' scale before the runs, and what came. Mid"
tables.contrasts(embedded)

# %% tags=["remove-input"] table="The emptiest layer by the embeddings' scale, speed and positions. Mid, three seeds"
tables.scales(embedded)

# %% [markdown]
# γ of layer 0 is read at 12 million tokens; *its use* is that of each run's emptiest layer. Arms whose embeddings
# hardly move have hardly learned (see their losses), and are no models to compare patterns on.
#
# ## Two waves

# %% tags=["remove-input"]
words.wave(wide)

# %% tags=["remove-input"]
figures.waves(wide, trajectories.lost(wide), trajectories.half_lost(wide))

# %% [markdown]
# So there seem to be two waves by *first*: one in the last layers while the learning rate rises, and a later
# one, in layers 1 to 3 first and in layer 0 last. By *nearest*, at half the rate, the order is another: layers 3 and 4
# take longest. All layers dip in the first million tokens and come back ([chapter 2](02_layer_patterns.ipynb)); that
# million is left out here. This is exploration. By how many million tokens half of a layer's loss has come:

# %% tags=["remove-input"] table="When half of what a layer loses is lost, million tokens. Wide"
tables.halves({"Wide, first": wide, "Wide, nearest": nearest})

# %% tags=["remove-input"]
widths.begun(wider)

# %% [markdown]
# ## Try it
#
# **1.** In the recipe that the switches show at first, take the embeddings to std 1 alone. Which layer is the lowest?
#
# :::{dropdown} Answer
# None: every layer keeps 99 % or more. Untie the output matrix as well and raise the rate, and layer 3 is.
# :::
#
# **2.** Below, a vector is added to layer 3 of Laptop. What do you expect of its placebo there?
#
# :::{dropdown} How to see
# `papermill notebooks/07_which_layer.py -p treatment "add 2, placebo"`, and for another layer `-p layer 0`. When we
# tried it, the placebo left layer 3 as full as its twin: in so short a training, unlike in layers 0, 1 and 5 of Mid, it
# does not do what the vector does.
# :::
#
# ## On this machine
#
# Everything above is recorded data. Here two Laptop runs of 98,304 tokens are trained, in which layers have only begun
# to empty: one untreated, one with a layer's input treated. `layer` is 0 to 5; `treatment` is `add 2`, `add 1`,
# `add 0.5`, `add 2 along`, `centre`, `add 2, placebo` or `centre, placebo`.

# %% tags=["nbval-ignore-output", "hide-output"] mystnb={"code_prompt_show": "The two runs of this machine", "code_prompt_hide": "Hide the runs"}
here = experiment.run(experiment.config(scales.live(scale), layer=layer, treatment=treatment))
figures.twin_and_treated(here, layer)

# %% [markdown]
# ## Claims

# %% tags=["remove-input"]
of_15 = claims.evaluate({("dissociation", "mid"): treated}, rows=claims.for_chapter(7), rules=dissociation.RULES)
claims.table(of_15)

# %% [markdown]
# ## Limits, cost, what next
#
# - **One recipe and three seeds** for the treated layers, and placebos that change each token as much as the treatment.
# - **Mid, mostly**, and 49 million tokens. Some recipes of Wide leave layer 0 lowest ([chapter 8](08_two_numbers.ipynb)).
# - **γ is one number per layer**, which may have several common directions.

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Runs, minutes and machines", "code_prompt_hide": "Hide the cost"}
done = {"sixteen recipes": first, "the other sixteen": second, "treated layers": treated, "embeddings' scale": embedded}
done |= {"other optimizers": other, "width or rate": wider}
costs.cost(done)

# %% [markdown]
# Before you quote a number of sparsity, read [the six lines on the front page](../index.md). Next: can one model have
# both of W&A's numbers? [Chapter 8](08_two_numbers.ipynb).
