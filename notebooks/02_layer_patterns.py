# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Layer patterns

# %% tags=["remove-input"]
from relusparsity.chapters.ch02_layer_patterns.short import in_short

in_short()

# %% [markdown]
# *You will learn* which share of its units each layer of a ReLU Transformer uses, at a token, in a sequence and over a
# batch, and how these shares change while the model is trained. *8 minutes to read, 4 to run.*
#
# **Question.** Do the layers of one model come apart? By a third party's summary of Wild and Anderson
# {cite:p}`wild2024uncovering`, 13.3 % of the units of the first layer still fire in a batch of 8,192 tokens at
# convergence, and 95.6 % of those of the last; on the way there, layer 0 shows "a gradual decrease in token-level use
# followed by per-sequence shifts".
#
# **What would falsify our answers.** Layers that end up alike; a first layer that is not the low one, or a last layer
# that is not the high one; a token use that falls in one jump; a loss of units per sequence that comes first, or in
# every layer alike. The thresholds are <a href="../ledger.html#row-1">rows 1 to 8 of the ledger</a>, written before any
# run.

# %% tags=["parameters"]
scale = "laptop"

# %% tags=["remove-input"]
from relusparsity import claims, plots, scales, store
from relusparsity.chapters.ch02_layer_patterns import figures, tables, words
from relusparsity.experiments import costs, layer_patterns

wide, mid, recorded = (store.recorded("layer_patterns", name) for name in ("wide", "mid", "laptop"))

# %% [markdown]
# ## What is measured
#
# A unit *fires* at a token where its activation is strictly above zero. **Use** is the share of a layer's units that
# fire at least once in a stated window of text $W$:
#
# $$\text{use}_\ell(W) = \frac{1}{d_\text{ff}}\,\bigl|\{\,u : a_{\ell,t,u} > 0 \text{ for some } t \in W\,\}\bigr|$$ (eq-use)
#
# It has no unit, and we state the window with the number: *token use* has a window of one token, *sequence use* of one
# sequence, *batch use* of 8,192 held-out tokens, which is W&A's window, kept for every shape. Weights are frozen while
# the text is read, and every count is an exact integer, divided once. Firing, in the library:

# %% tags=["remove-input"]
words.lines_that_matter()

# %% [markdown]
# The models are **Wide** (6 layers of 32,768 units; recipe *nearest*), **Mid** (6 × 8,192; recipe *first*) and
# **Laptop** (6 × 1,024). [Chapter 8](08_two_numbers.ipynb) tells how the recipes were found.

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Text, training, seeds and samples", "code_prompt_hide": "Hide the runs"} table="The runs of this chapter: text, training, seeds and samples"
tables.about(wide, mid, recorded)

# %% [markdown]
# ## Which layers empty

# %% tags=["remove-input"]
words.pattern(wide)

# %% tags=["remove-input"]
plots.batch_use(wide)

# %% [markdown]
# At the end batch use is measured once more, in float32 and on far more text. Percent, a row per seed:

# %% tags=["remove-input"] table="Batch use (percent) and loss at the end, by seed. Wide, nearest"
tables.by_seed(wide)

# %% tags=["remove-input"]
words.seeds_apart(wide)

# %% tags=["remove-input"]
words.of_mid(mid)

# %% tags=["remove-input"]
plots.batch_use(mid)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Mid, seed by seed", "code_prompt_hide": "Hide the seeds"} table="Batch use (percent) and loss at the end, by seed. Mid, first"
tables.by_seed(mid)

# %% [markdown]
# A pattern can be the mark of a model that learned badly, so the loss stands beside it, on about a million held-out
# tokens for Wide and Mid (mean and range over seeds):

# %% tags=["remove-input"] table="How well the models predict: loss, bits per byte and accuracy, mean and range over seeds"
tables.learned(wide, mid, recorded)

# %% [markdown]
# ## From one token to a batch

# %% tags=["remove-input"]
words.at_a_token(wide)

# %% tags=["remove-input"]
figures.use_over_training(wide)

# %% [markdown]
# The summary's order of events for layer 0, first the token, then the sequence, is read from the upper two panels; rows
# 7 and 8 below judge it.

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Before training and after it, in numbers", "code_prompt_hide": "Hide the numbers"} table="Token, sequence and batch use before and after training, percent. Wide, nearest"
tables.before_and_after(wide)

# %% [markdown]
# ## Not every token, and not every unit, is alike
#
# **A mean hides a few busy units and many idle ones.** In layers 0 to 3 of Wide the median unit ends silent: it fires at
# none of the tokens of the sample. Each layer's units one by one, silent ones apart:

# %% tags=["remove-input"]
plots.layer_to_units(wide)

# %% [markdown]
# Whether a silent unit is dead is [chapter 3](03_neuron_death.ipynb)'s question. Percentiles come from exact histograms
# of all tokens, with no sampling.

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Percentiles of token use over tokens", "code_prompt_hide": "Hide the percentiles"}
figures.percentiles(wide, of="token_use")

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Percentiles of the firing rate over units", "code_prompt_hide": "Hide the percentiles"}
figures.percentiles(wide, of="firing_rate")

# %% [markdown]
# ## How much text does it take?

# %% tags=["remove-input"]
words.flat(wide)

# %% [markdown]
# The curve below goes through all windows: its left end is token use, the point at 512 tokens is sequence use, the one
# at 8,192 batch use. If units fired at tokens at random, each at its own rate, the curve would be the dotted one, which
# follows exactly from the firing counts (rarefaction, {cite:p}`hurlbert1971nonconcept`):
#
# $$\text{rarefied use}(n) = \frac{1}{d_\text{ff}}\sum_u \left(1 - \binom{N-k_u}{n}\Big/\binom{N}{n}\right)$$ (eq-rarefied)
#
# for a unit that fired $k_u$ times in $N$ tokens; it has no unit. Text lies below it, since a word that returns in a
# document wakes the same units again.

# %% tags=["remove-input"]
figures.window_curves(wide)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "The gap between the curves, in points", "code_prompt_hide": "Hide the gap"} table="By how many points as much text in random order wakes more of each layer. Wide, nearest"
tables.bunched(wide)

# %% [markdown]
# ## Where in the sequence?

# %% tags=["remove-input"]
words.first_token(wide, tables.SETTLED)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Token use by position", "code_prompt_hide": "Hide the figure"}
figures.use_by_position(wide)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "The first token in numbers, of Wide and Laptop", "code_prompt_hide": "Hide the numbers"} table="Token use at a sequence's first token and later, percent. Wide and Laptop"
tables.first_token(wide, recorded)

# %% [markdown]
# ## What we cannot say
#
# - **One recipe per shape.** Nothing here speaks for "the" ReLU Transformer: which layer empties depends on the recipe
#   ([chapter 7](07_which_layer.ipynb)).
# - **Not converged for sure.** In Wide use stands still over the last third, but the learning rate is low by then. Wide
#   reads its text 2.6 times.
# - **The recipes were searched for**, by their distance from W&A's two numbers, then frozen and run with fresh seeds.
#   *First* in Wide ends elsewhere, and other runs end nearer ([chapter 8](08_two_numbers.ipynb)).
# - **Attention crosses documents** that share a packed sequence, and Laptop's sequences are short, so sequence use
#   cannot be compared across shapes. Laptop's text is documentation of Python packages: real, but narrow.
#
# ## Try it
#
# **1.** Read the curves of the first figure at one million tokens; on a screen, move its slider there. Which layer is the
# lowest then, and is it the one that ends lowest?
#
# :::{dropdown} Answer
# Layer 5, in the dip of the first million tokens. It ends as the fullest.
# :::
#
# **2.** What would batch use be if the window were 16 times as long?
#
# :::{dropdown} Answer
# In Wide nearly the same, since the curves of the last figure are flat from some ten thousand tokens on. In Laptop
# higher: its curves still rise where the text ends (below).
# :::
#
# ## The same on your machine

# %% tags=["remove-input"]
words.of_laptop(recorded)

# %% tags=["nbval-ignore-output", "hide-output"] mystnb={"code_prompt_show": "Laptop, recorded and run here", "code_prompt_hide": "Hide the runs"}
live_scale = scales.live(scale)
here = layer_patterns.run(layer_patterns.config(live_scale))
plots.batch_use(recorded, here)

# %% [markdown]
# Another processor rounds differently, and training amplifies this: the curves of a seed part within the first hundred
# steps, later by up to ten points in a layer. The valley in the middle should stay; its lowest layer may move by one.

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Laptop as recorded, over training", "code_prompt_hide": "Hide the figure"}
plots.batch_use(recorded)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Laptop as recorded, from one token to a batch", "code_prompt_hide": "Hide the figure"}
figures.use_over_training(recorded)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Laptop as recorded, by how much text", "code_prompt_hide": "Hide the figure"}
figures.window_curves(recorded)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Laptop, seed by seed", "code_prompt_hide": "Hide the seeds"} table="Batch use (percent) and loss at the end, by seed. Laptop"
tables.by_seed(recorded)

# %% [markdown]
# ## Claims
#
# The rows of the ledger that this chapter decides, on the recorded runs. The rules name models by letters: P is Wide, S
# is Mid, L is Laptop, which stands beside them without a verdict.

# %% tags=["remove-input"]
scales_of = {"wide": wide, "mid": mid, "laptop": recorded}
every = {("layer_patterns", name): dataset for name, dataset in scales_of.items()}
claims.table(claims.evaluate(every, rows=claims.for_chapter(2)))

# %% tags=["nbval-ignore-output", "hide-output"] mystnb={"code_prompt_show": "The same rows, read from the run of this machine", "code_prompt_hide": "Hide the rows"}
own = claims.evaluate({}, {("layer_patterns", live_scale): here}, rows=claims.for_chapter(2))
claims.table([outcome for outcome in own if outcome.here])

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "What the recorded runs cost", "code_prompt_hide": "Hide the cost"}
costs.cost({"Wide": wide, "Mid": mid, "Laptop": recorded})

# %% [markdown]
# Next: the units that stopped firing. Which ones, when, and which come back? [Chapter 3](03_neuron_death.ipynb).
