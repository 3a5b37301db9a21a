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
# A stock of dead units that empties again. Row 9 of the ledger has the threshold. Rows 10 and 11 ask for the *cause*, and
# need training runs with altered updates, which are not made yet.

# %% tags=["parameters"]
scale = "laptop"

# %% tags=["remove-input"]
from relusparsity import claims, scales, store
from relusparsity.chapters.ch03_neuron_death import experiment, figures, tables, words

# %% tags=["remove-input"]
wide, wide_first = (store.recorded("neuron_death", "wide", recipe) for recipe in ("nearest", "first"))
mid, laptop = (store.recorded("neuron_death", shape) for shape in ("mid", "laptop"))
every = [wide, wide_first, mid, laptop]

# %% [markdown]
# ## Two words, kept apart
#
# **Death is about time, silence about text.** A unit is **dead(n)** at token $t$ of the training stream if it has not
# fired in the last $n$ tokens:
#
# $$\text{dead}_n(t) \iff t \ge n \text{ and } a_s = 0 \text{ at each of the tokens } s = t-n+1, \dots, t$$ (eq-dead)
#
# where $a_s$ is its activation and $n$ is counted in tokens: 1,048,576 for Wide and Mid. Its **onset** is its last firing,
# known only $n$ tokens later. A dead unit that fires again is a **revival**. A unit is **silent** on a held-out sample if it
# fires at none of its tokens *under frozen weights*; the sample's size belongs to the word.
#
# A unit may be dead and not silent, if the held-out text has what the last $n$ training tokens lacked; or silent and not
# dead. The count runs inside the training step and misses no token. These are the library's lines:

# %% tags=["remove-input"]
words.lines_that_matter()

# %% [markdown]
# Our models are **Wide** (6 layers of 32,768 units), **Mid** (6 × 8,192) and **Laptop** (6 × 1,024), with layers counted
# from 0.
#
# (who-dies-when)=
# (the-wide-models)=
# (fig-death-onsets-laptop-default)=
# (fig-survival-laptop-default)=
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
# (is-it-written-at-the-start)=
# ### Can early firing predict death?

# %% tags=["remove-input"]
words.rates(wide)

# %% [markdown]
# In Laptop it is other layers and other quarters. No one sign holds for all, and a correlation would say nothing about the
# cause.

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "The share of each quarter that dies later", "code_prompt_hide": "Hide the quarters"}
tables.by_rate(wide)

# %% [markdown]
# (fig-deaths-and-revivals-laptop-default)=
# ## Who comes back

# %% tags=["remove-input"]
words.coming_back(wide)

# %% tags=["remove-input"]
tables.fates(wide)

# %% tags=["remove-input"]
words.stock_stays(wide)

# %% tags=["remove-input"]
figures.revivals(wide)

# %% tags=["remove-input"]
words.turns_over(mid)

# %% [markdown]
# So "units turn off" needs two readings. Of one unit it is often false: it went off and came back. Of the stock it is true
# in Wide. The learning rate falls to a tenth of its peak meanwhile, and a model that moves less wakes fewer units; these
# runs cannot tell that part from the rest.

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "The same in Mid", "code_prompt_hide": "Hide Mid"}
figures.revivals(mid)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Mid in numbers", "code_prompt_hide": "Hide the numbers"}
tables.fates(mid)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Deaths and revivals of Wide, layer by layer", "code_prompt_hide": "Hide the figure"}
figures.deaths_and_revivals(wide)

# %% [markdown]
# (what-happens-to-a-unit-before-it-dies)=
# (fig-drift-before-death-laptop-default)=
# ## Before a unit dies
#
# A unit fires where its pre-activation $z = w \cdot x + b$ is above zero. It can fall silent because the mean of $z$ sinks
# (its weights turn away from the mean input, or its bias falls), because the spread of $z$ narrows, or both.

# %% tags=["remove-input"]
words.before_death(wide)

# %% tags=["remove-input"]
figures.drift_before_death(wide)

# %% [markdown]
# What the dotted lines do is training; where the solid line parts from them is death. Which of the two causes the other is
# not shown. After the last firing the mean of $z$ rises again, towards zero, and the weights shrink. The section on Wide
# below says why.

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Where dead and living units lie at the end", "code_prompt_hide": "Hide the medians"}
tables.medians(wide)

# %% [markdown]
# (silent-against-dead-and-what-chance-explains)=
# (the-mid-models)=
# (fig-silent-vs-dead-mid-first)=
# (fig-silent-vs-dead-wide-nearest)=
# (fig-silent-vs-dead-laptop-default)=
# ## Silent, or rare?

# %% tags=["remove-input"]
words.silence(mid)

# %% tags=["remove-input"]
figures.woken(*every)

# %% [markdown]
# Even a unit that stays silent on the million may be rare. {cite:t}`good1953population` estimates how many would fire in as
# much text again: about as many as fired in exactly *one* draw so far. With $S_\ell$ units of layer $\ell$ silent on the
# small sample, $B_\ell$ of them silent on the large one too, and $G_\ell$ the estimate's upper bound (95 %),
#
# $$\text{beyond chance} = \frac{\sum_\ell (B_\ell - G_\ell)}{\sum_\ell S_\ell}$$ (eq-beyond-chance)

# %% tags=["remove-input"]
words.beyond_chance(mid)

# %% tags=["remove-input"]
words.two_words(mid)

# %% tags=["remove-input"]
tables.silence(every)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "The counts behind it, seed by seed: Mid", "code_prompt_hide": "Hide the counts"}
tables.chance(mid)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "The counts behind it, seed by seed: Wide", "code_prompt_hide": "Hide the counts"}
tables.chance(wide)

# %% [markdown]
# (is-the-forecast-any-good)=
# **Is the estimate any good?** It can be tried where the answer is known: one random half of the large sample's documents
# forecasts what the other half wakes. In Mid it is high rather than low, as the rule needs.

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Forecasts against what happened: Mid, layer by layer", "code_prompt_hide": "Hide the forecasts"}
tables.forecasts(mid)

# %% [markdown]
# (dead-on-one-domain-alive-on-another)=
# (fig-domains-laptop-default)=
# ### Another kind of text

# %% tags=["remove-input"]
words.domains(mid)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Silent on one kind, firing on another: Mid", "code_prompt_hide": "Hide the table"}
tables.domains(mid)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Silent on one kind, firing on another: Wide", "code_prompt_hide": "Hide the table"}
tables.domains(wide)

# %% [markdown]
# (silence-is-death-here)=
# ## Why Wide cannot decide it

# %% tags=["remove-input"]
words.arithmetic(wide)

# %% [markdown]
# A unit that fires at no token gets no gradient. AdamW then only multiplies its weights, step after step, by one minus
# learning rate $\eta$ times decay $\lambda$, and leaves its bias, which our recipes do not decay. From the last firing at
# step $t$ to the last step $T$,
#
# $$\lVert w_T \rVert = \lVert w_t \rVert \prod_{s=t}^{T-1} (1 - \eta_s \lambda)$$ (eq-decay)

# %% tags=["remove-input"]
words.shrinks([wide, mid])

# %% tags=["remove-input"]
words.arithmetic(mid)

# %% tags=["remove-input"]
tables.remains(every)

# %% [markdown]
# Medians over the followed units that are dead at the end. By *first* Wide lies between the two, nearer to certainty than
# to Mid. So we read row 9 in Wide as a check of the counting, and in Mid as a test of the claim.
#
# ## Try it
#
# **1.** A unit of Mid dies as the warm-up ends. Which share of its weights is left at the end? And at twice the decay?
#
# :::{dropdown} Answer
# By {eq}`eq-decay` with a rate that falls to a tenth: 15 %. At twice the decay 2.3 %, about the square. In Wide decay is
# twice as strong, and nearly five times as many steps follow.
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
# (on-this-machine)=
# ## The same on your machine

# %% tags=["remove-input"]
words.laptop(laptop)

# %% [markdown]
# `papermill notebooks/03_neuron_death.py` trains Laptop here, or reads back what it trained before, and lays it beside the
# recorded run.

# %% tags=["nbval-ignore-output", "hide-output"] mystnb={"code_prompt_show": "Laptop on this machine, beside the recorded run", "code_prompt_hide": "Hide this machine's run"}
live_scale = scales.live(scale)
here = experiment.run(experiment.config(live_scale))
figures.dead_over_training(laptop, here)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Who came back in Laptop (recorded)", "code_prompt_hide": "Hide the table"}
tables.fates(laptop)

# %% [markdown]
# ## Claims
#
# Row 9 is judged on Wide and Mid. Rows 10 and 11 wait for their experiment.

# %% tags=["remove-input"]
tables.judged(*every)

# %% tags=["nbval-ignore-output", "hide-output"] mystnb={"code_prompt_show": "Row 9 read from the run of this machine", "code_prompt_hide": "Hide this machine's row"}
own = claims.evaluate({}, {("neuron_death", live_scale): here}, rows=claims.for_chapter(3))
claims.table([outcome for outcome in own if outcome.here])

# %% [markdown]
# (limits-cost-what-next)=
# ## What we cannot say
#
# - **Why units die.** What goes before death, such as a spread that narrows, may follow from a third thing. Rows 10 and 11
#   ask for updates with randomised directions and without outliers.
# - **Whether death lasts under another schedule.** All of Wide's and Mid's learning rates fall to a tenth.
# - **At another n.** A larger n confirms fewer deaths and sees fewer revivals.
# - **On other text.** Wide and Mid read English; C4 is the only kind that they were not trained on.
# - **Good–Turing assumes exchangeable draws.** Neighbouring sequences share documents; hence the forecast with documents as
#   draws, in the counts above.

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Runs, minutes and machines", "code_prompt_hide": "Hide the cost"}
tables.cost(every)

# %% [markdown]
# Next: the units that live. What do they fire on, and is it more of one thing in the first layer or in the last?
# [Chapter 4](04_feature_specificity.ipynb).
