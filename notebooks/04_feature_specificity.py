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
# *You will learn* how to tell a unit that follows a word from one that follows a topic, and why layers must be compared at
# equal firing rate. *6 minutes to read; 2 to run, once the Laptop models are trained.*
#
# **Question.** Do the units of the first and of the last layer respond to differently specific things? The abstract of
# Wild and Anderson {cite:p}`wild2024uncovering` names "Feature Specificity"; we know no formula of theirs, so the two
# measures below are ours.
#
# **What would falsify it.** The claim fails if the measures do not differ between units of *equal firing rate*, or differ
# with another sign from seed to seed. Row 13 of the [ledger](../ledger.md) has the threshold, written before the runs.

# %% tags=["parameters"]
scale = "laptop"

# %% tags=["remove-input"]
import pandas as pd

from relusparsity import plots, scales, store
from relusparsity.chapters.ch04_feature_specificity import experiment, figures, tables, words
from relusparsity.experiments import costs

pd.set_option("display.max_colwidth", None)

# %% tags=["remove-input"]
recipes = {name: store.recorded("feature_specificity", "wide", name) for name in ("nearest", "first")}
mid, laptop = (store.recorded("feature_specificity", shape) for shape in ("mid", "laptop"))
wide = {f"Wide, {name}": dataset for name, dataset in recipes.items()}
models = wide | {"Mid, first": mid}

# %% [markdown]
# ## Two measures, each against chance
#
# **A unit can keep to few words, or to few texts.** One that follows a word fires on few kinds of token. One that follows
# a topic bunches its firing in the sequences on that topic.
#
# We read $S$ = 2,048 held-out sequences of $T$ = 512 tokens. A unit fires at $k$ of these tokens, in $s$ of the
# sequences. With three firings it cannot fire on many words, whatever it follows. So each measure is set against random
# firing of *equal count*, and a unit with fewer than 100 firings has none.
#
# The **within-sequence rate** is the share of a sequence's tokens at which a unit fires, given that it fires there:
#
# $$w = \frac{k}{s\,T}$$ (eq-within-sequence-rate)
#
# It is a share, from 0 to 1. Random firing reaches $w_0 = k / (\hat s\,T)$, where $\hat s$ is the number of sequences that
# $k$ random tokens hit. Where $w / w_0$ is above 1, firings bunch.
#
# **Token selectivity** is
#
# $$q = 1 - \frac{H}{H_k}$$ (eq-token-selectivity)
#
# where $H$ is the entropy of the unit's firings over token types, and $H_k$ that of $k$ random tokens of the same text. It
# has no unit. It is 0 for firing on tokens as they come, 1 for firing on one type only, and below 0 for a spread over more
# types than chance gives.
#
# To compare layers, take a unit of the first and one of the last that fire equally often. Cliff's δ
# {cite:p}`cliff1993dominance` is
#
# $$\delta = P(y > x) - P(y < x)$$ (eq-cliffs-delta)
#
# where $x$ is the measure of the first layer's unit and $y$ that of the last's. It has no unit and runs from −1 to 1.
# **Above 0, the last layer's units are the higher.** At 0.33 they are in two pairs of three. "Equally often" means that
# both counts lie in the same of ten strata per decade, within 26 % of each other. The rule compares $w$ itself and $q$. It
# asks for 0.33 or more of *both*, with the same sign in every seed.

# %% tags=["remove-input"]
tables.lines_that_matter()

# %% [markdown]
# ## First against last layer

# %% tags=["remove-input"]
words.rates(recipes)

# %% tags=["remove-input"]
figures.delta(models)

# %% tags=["remove-input"]
words.selectivity(recipes)

# %% tags=["remove-input"]
words.narrow(mid, recipes["first"])

# %% tags=["remove-input"]
words.by_random(models)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "δ of every seed, with the intervals", "code_prompt_hide": "Hide δ"} table="δ of both measures, by seed, with intervals"
tables.deltas(models)

# %% [markdown]
# Not every unit takes part: many are silent ([chapter 3](03_neuron_death.ipynb)), or fire under 100 times.

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "How many units are compared", "code_prompt_hide": "Hide the counts"} table="How many units are compared"
tables.units(models)

# %% [markdown]
# ## Specificity against firing rate
#
# **The two layers differ in bunching at every rate at which units can bunch, and in token selectivity among busy units
# only.** A unit that fires at a tenth of all tokens hits nearly every sequence, so there both lines lie at 1.

# %% tags=["remove-input"]
figures.specificity(recipes["nearest"])

# %% tags=["remove-input"]
words.busy(recipes)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "The same for Wide, first", "code_prompt_hide": "Hide Wide, first"}
figures.specificity(recipes["first"])

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "The same for Mid", "code_prompt_hide": "Hide Mid"}
figures.specificity(mid)

# %% [markdown]
# ## What single units fire on
#
# **In layer 0 of this model the unit that bunches most follows the words of a topic; in layer 5 it follows a topic
# whatever the word.** Looking is worth little if one picks what looks good, so we chose by a rule that was stated before: of
# each layer of the first seed, among units with 100 firings or more, those with the highest token selectivity, the median
# one, and the highest $w / w_0$. The table has the token types that each fires on most, with their shares of its firings,
# and its strongest activation, the token in double brackets; what follows it the unit has not seen. ⏎ is a line end, ␣ a
# space. Wide by *nearest*:

# %% tags=["remove-input"] table="What chosen units of layers 0 and 5 fire on. Wide, nearest"
tables.chosen(recipes["nearest"], layers=[0, 5])

# %% [markdown]
# One unit of each kind is an illustration, and strongest activations flatter: where the token types tell another story,
# believe them.

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "All layers of Wide, nearest", "code_prompt_hide": "Hide the units"} table="What chosen units of every layer fire on. Wide, nearest"
tables.chosen(recipes["nearest"])

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "All layers of Wide, first", "code_prompt_hide": "Hide the units"} table="What chosen units of every layer fire on. Wide, first"
tables.chosen(recipes["first"])

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Three contexts of each unit that bunches most. Wide, nearest", "code_prompt_hide": "Hide the contexts"}
tables.contexts(recipes["nearest"], "most clustered")

# %% [markdown]
# ## The same on your machine
#
# **Laptop, trained for minutes, does not decide.** By the rule its two layers hardly differ. Divided by those of random
# firing, their within-sequence rates do.

# %% tags=["nbval-ignore-output", "hide-output"] mystnb={"code_prompt_show": "Laptop: recorded, and on this machine", "code_prompt_hide": "Hide Laptop"}
live_scale = scales.live(scale)
here = plots.on_this_machine(experiment.run(experiment.config(live_scale)))
figures.delta({"Laptop, recorded": laptop, "this machine": here})

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Both measures against firing rate, Laptop", "code_prompt_hide": "Hide the figure"}
figures.specificity(laptop)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Laptop's layers, without holding the firing rate equal", "code_prompt_hide": "Hide the medians"} table="Both measures by layer, firing rates not held equal. Laptop"
tables.medians(laptop)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "What Laptop's units fire on", "code_prompt_hide": "Hide the units"} table="What chosen units of every layer fire on. Laptop"
tables.chosen(laptop)

# %% [markdown]
# ## What we cannot say
#
# - **The measures are ours.** Specific to a *meaning* that many words can carry is a third thing, which neither sees.
# - **Words bunch too.** Texts repeat their words, so a unit that follows one word bunches more than random firing does. A
#   null that shuffles words within their texts would be stricter.
# - **Common units are compared, rare ones left out.** A layer of many rare units is judged by its busiest.
# - **Token selectivity looks at the current token only.** In deeper layers the state of a token holds more of its context,
#   so a low selectivity there need not mean a vague unit.
# - **Two layers are compared.** That layer 5 differs from layer 0 does not say that specificity grows with depth: see the
#   grey lines.
#
# ## Try it
#
# **1.** A unit fires at every token of four of the sequences, and nowhere else. What are its two measures?

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Answer", "code_prompt_hide": "Hide the answer"}
words.burst(recipes["nearest"])

# %% [markdown]
# **2.** Compare all units of the last layer with all of the first, however often they fire. What becomes of δ?

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Answer", "code_prompt_hide": "Hide the answer"}
words.unmatched(recipes)

# %% [markdown]
# ## Claims
#
# The ledger's row that this chapter decides, in Wide by both frozen recipes and in Mid:

# %% tags=["remove-input"]
tables.judged(models)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "The same row, read from Laptop's recorded runs", "code_prompt_hide": "Hide the row"}
tables.judged({"Laptop": laptop})

# %% tags=["nbval-ignore-output", "remove-input", "hide-output"] mystnb={"code_prompt_show": "The same row, read from the run of this machine", "code_prompt_hide": "Hide the row"}
tables.read_here(here)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Runs, minutes and machines", "code_prompt_hide": "Hide the cost"}
costs.cost(models | {"Laptop": laptop})

# %% [markdown]
# ## What next
#
# If so many units are silent or rare, what does the model lose when they are taken out?
# [Chapter 5](05_pruning.ipynb) removes them.
