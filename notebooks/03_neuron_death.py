# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Neuron death

# %% tags=["remove-input"]
from relusparsity.chapters.ch03_neuron_death.short import in_short

in_short()

# %% [markdown]
# *You will learn* which units die and when, how often death is undone, and which of our models can show that a silent unit
# is more than rare. *8 minutes to read; to run, a quarter of an hour the first time, then seconds.*
#
# **Question.** Do hidden units die in training: which, when, and for how long? And when a unit is silent on held-out text,
# is it dead, or only rare? The abstract of Wild and Anderson {cite:p}`wild2024uncovering` speaks of neurons "turning
# off", "rather than randomly", and not "as a result of outliers".
#
# **What would falsify it.** Silence that is rarity: units that are quiet for 8,192 tokens and fire when more text is read.
# A stock of dead units that empties again. Row 9 of the ledger has the threshold; the *cause* is asked for
# in [chapter 9](09_why_units_die.ipynb).

# %% tags=["parameters", "remove-input"]
scale = "laptop"

# %% tags=["remove-input"]
from relusparsity import claims, scales, store
from relusparsity.chapters.ch03_neuron_death import experiment, figures, foresight, tables, words
from relusparsity.experiments import costs

# %% tags=["remove-input"]
wide, wide_first = (store.recorded("neuron_death", "wide", recipe) for recipe in ("nearest", "first"))
mid, laptop = (store.recorded("neuron_death", shape) for shape in ("mid", "laptop"))
every = [wide, wide_first, mid, laptop]

# %% [markdown]
# ## Two words, kept apart
#
# **Death is about time, silence about text.** A unit with activation $a_s$ at token $s$ is **dead(n)** at token $t$ of the
# training stream if it has not fired in the last $n$ tokens, once there have been as many:
#
# $$a_{t-n+1} = \dots = a_t = 0$$ (eq-dead)
#
# We count $n$ in tokens: 1,048,576 for Wide and Mid. A dead unit that fires again is a **revival**. A unit is **silent** on
# a held-out sample if it fires at none of its tokens *under frozen weights*. Neither implies the other. The count of
# deaths runs inside the training step and misses no token:

# %% tags=["remove-input"]
words.lines_that_matter()

# %% [markdown]
# Layers are numbered from 0, and our models are **Wide**, **Mid** and **Laptop** (6 × 1,024).
#
# ## Who dies, and when

# %% tags=["remove-input"]
words.stock(wide)

# %% tags=["remove-input"]
figures.dead_over_training(wide)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "When units die for the first time, layer by layer", "code_prompt_hide": "Hide the figure"}
figures.death_onsets(wide)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "How many units have never died so far", "code_prompt_hide": "Hide the figure"}
figures.survival(wide)

# %% [markdown]
# ### Can early firing predict death?

# %% tags=["remove-input"]
words.rates(wide)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "The share of each quarter that dies later", "code_prompt_hide": "Hide the quarters"} table="Percent of units that die later, by quarter of their firing rate before. Wide, nearest"
tables.by_rate(wide)

# %% [markdown]
# ### Can one tell early who will die?

# %% tags=["remove-input"]
words.foresight(*map(foresight.areas, (wide, mid, laptop)))

# %% tags=["remove-input"]
figures.foresight(foresight.areas(wide))

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "The same in Mid", "code_prompt_hide": "Hide Mid"}
figures.foresight(foresight.areas(mid))

# %% [markdown]
# ## Who comes back

# %% tags=["remove-input"]
words.coming_back(wide)

# %% tags=["remove-input"] table="Death and return, percent of units by layer. Wide, nearest"
tables.fates(wide)

# %% tags=["remove-input"]
words.stock_stays(wide)

# %% tags=["remove-input"]
figures.revivals(wide)

# %% tags=["remove-input"]
words.turns_over(mid)

# %% [markdown]
# So "turning off" has two readings. Of one unit it often fails: it comes back. Of the stock it holds in Wide. The learning
# rate falls to a tenth meanwhile, and a model that moves less may wake fewer units; these runs cannot tell. Nor do all
# revivals undo a death: in forks of Mid most of layer 2's dead that fire again do so where nothing moves them, and had
# only been rare ([chapter 9](09_why_units_die.ipynb)).

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "The same in Mid", "code_prompt_hide": "Hide Mid"}
figures.revivals(mid)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Mid in numbers", "code_prompt_hide": "Hide the numbers"} table="Death and return, percent of units by layer. Mid, first"
tables.fates(mid)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Deaths and revivals of Wide, layer by layer", "code_prompt_hide": "Hide the figure"}
figures.deaths_and_revivals(wide)

# %% [markdown]
# ## Before a unit dies
#
# A unit fires where its pre-activation $z = w \cdot x + b$ is above zero. It falls silent if the mean of $z$ sinks, if its
# spread narrows, or both.

# %% tags=["remove-input"]
words.before_death(wide)

# %% tags=["remove-input"]
figures.drift_before_death(wide)

# %% [markdown]
# What comes first need not be the cause. After the last firing the weights shrink:
# <a href="#why-wide-cannot-decide-it">the section on Wide</a> says why.

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Where dead and living units lie at the end", "code_prompt_hide": "Hide the medians"} table="Living and dead units at the end, medians. Wide, nearest"
tables.medians(wide)

# %% [markdown]
# ## Silent, or rare?

# %% tags=["remove-input"]
words.silence(mid)

# %% tags=["remove-input"]
figures.woken(*every)

# %% [markdown]
# Even a unit silent on the million may be rare. In as much text again about as many would fire as fired in exactly *one*
# draw so far {cite:p}`good1953population`. Of $S_\ell$ units of layer $\ell$ silent on the small sample $B_\ell$ are silent on
# both; $G_\ell$ is the estimate's upper bound (95 %).
#
# $$\text{beyond chance} = \frac{\sum_\ell (B_\ell - G_\ell)}{\sum_\ell S_\ell}$$ (eq-beyond-chance)

# %% tags=["remove-input"]
words.beyond_chance(mid)

# %% tags=["remove-input"]
words.two_words(mid)

# %% [markdown]
# Means over seeds, with their range:

# %% tags=["remove-input"] table="Silent and dead side by side: percent, mean over seeds and their range"
tables.silence(every)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "The counts behind it, seed by seed: Mid", "code_prompt_hide": "Hide the counts"} table="The counts behind row 9, by seed. Mid, first"
tables.chance(mid)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "The counts behind it, seed by seed: Wide", "code_prompt_hide": "Hide the counts"} table="The counts behind row 9, by seed. Wide, nearest"
tables.chance(wide)

# %% [markdown]
# Tried where the answer is known, from one half of the documents to the other, the estimate is high rather than low.

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Forecasts against what happened: Mid, layer by layer", "code_prompt_hide": "Hide the forecasts"} table="Forecasts against what happened, by layer. Mid, first"
tables.forecasts(mid)

# %% [markdown]
# ### Another kind of text

# %% tags=["remove-input"]
words.domains(mid)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Silent on one kind, firing on another: Mid", "code_prompt_hide": "Hide the table"} table="Units silent on one kind of text that fire on another. Mid, first"
tables.domains(mid)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Silent on one kind, firing on another: Wide", "code_prompt_hide": "Hide the table"} table="Units silent on one kind of text that fire on another. Wide, nearest"
tables.domains(wide)

# %% [markdown]
# ## Why Wide cannot decide it

# %% tags=["remove-input"]
words.arithmetic(wide)

# %% [markdown]
# A unit that fires at no token gets no gradient. AdamW then only multiplies its weights by one minus learning rate $\eta$
# times decay $\lambda$, and leaves its bias, which our recipes do not decay. From step $t$ after its last firing to the end,
#
# $$\lVert w_T \rVert = \lVert w_t \rVert \prod_{s=t}^{T-1} (1 - \eta_s \lambda)$$ (eq-decay)

# %% tags=["remove-input"]
words.shrinks([wide, mid])

# %% tags=["remove-input"]
words.arithmetic(mid)

# %% tags=["remove-input"] table="What is left of units that are dead at the end, medians"
tables.remains(every)

# %% [markdown]
# Medians over followed units, dead at the end. By *first* too, Wide's dead lie far below zero. So row 9 checks our counting
# in Wide, and tests the claim in Mid.
#
# ## Try it
#
# **1.** A unit of Mid dies as the warm-up ends. Which share of its weights is left at the end? And at twice the decay?
#
# :::{dropdown} Answer
# By {eq}`eq-decay` with a rate that falls to a tenth: 15 %, and at twice the decay 2.3 %, about the square.
# :::
#
# **2.** A unit fires at one token in two million, at random. Is it dead? Is it silent on a million tokens? How would you
# tell it from a unit that is off?
#
# :::{dropdown} Answer
# At any moment it is dead(1,048,576) with a chance of 59 %, and silent on as many held-out tokens with the same. Neither
# word tells it from a unit that is off. Its revivals do, or more text: over Wide's training it would fire a hundred times.
# :::
#
# ## The same on your machine

# %% tags=["remove-input"]
words.laptop(laptop)

# %% [markdown]
# `papermill notebooks/03_neuron_death.py` trains Laptop here, or reads back what it trained before.

# %% tags=["nbval-ignore-output", "remove-input", "hide-output"] mystnb={"code_prompt_show": "Laptop on this machine, beside the recorded run", "code_prompt_hide": "Hide this machine's run"}
live_scale = scales.live(scale)
here = experiment.run(experiment.config(live_scale))
figures.dead_over_training(laptop, here)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Who came back in Laptop (recorded)", "code_prompt_hide": "Hide the table"} table="Death and return, percent of units by layer. Laptop"
tables.fates(laptop)

# %% [markdown]
# ## Claims
#
# Row 9 is judged on Wide and Mid.

# %% tags=["remove-input"]
tables.judged(*every)

# %% tags=["nbval-ignore-output", "remove-input", "hide-output"] mystnb={"code_prompt_show": "Row 9 read from the run of this machine", "code_prompt_hide": "Hide this machine's row"}
own = claims.evaluate({}, {("neuron_death", live_scale): here}, rows=claims.for_chapter(3))
claims.table([outcome for outcome in own if outcome.here])

# %% [markdown]
# ## What we cannot say
#
# - **Why units die.** What goes before death, such as a spread that narrows, may follow from a third thing.
# - **Whether death lasts under another schedule.** Wide's and Mid's learning rates all fall to a tenth.
# - **At another n.** A larger n confirms fewer deaths and sees fewer revivals.
# - **On other text.** All of it is English; only C4 is of a kind that Wide and Mid were not trained on.
# - **Good–Turing takes draws as exchangeable.** Ours are sequences, and neighbouring ones share documents.

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Runs, minutes and machines", "code_prompt_hide": "Hide the cost"}
costs.cost({words.name(dataset): dataset for dataset in every})

# %% [markdown]
# Next: what the living units fire on, in [chapter 4](04_feature_specificity.ipynb).
