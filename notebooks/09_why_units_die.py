# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Why units die

# %% tags=["remove-input"]
from relusparsity.chapters.ch09_why_units_die.short import in_short

in_short()

# %% [markdown]
# *You will learn* what moves a unit under zero, how a fork of a run tests a cause, and what five seeds of such forks
# say. *9 minutes to read; to run, five to thirty minutes the first time, by what else the cores do, then seconds.*
#
# **Question.** The abstract of Wild and Anderson {cite:p}`wild2024uncovering` says that death is "primarily driven by
# the dynamics of training, rather than simply occurring randomly or accidentally as a result of outliers". What drives
# it?
#
# **What would falsify it.** *Not random* fails if less than half of the deaths go when units get each other's updates
# (row 10b of the ledger); *not outliers*, if deaths change by a tenth when the longest updates alone are shortened (a
# part of row 11b); our own claim that the dead stay dead because what feeds them stands still, if freezing all before
# them removes less than 90 % of the revivals, beyond those that new text alone brings (row 16).

# %% tags=["parameters", "remove-input"]
scale = "laptop"

# %% tags=["remove-input"]
from relusparsity import claims, scales, store
from relusparsity.chapters.ch09_why_units_die import effects, experiment, figures, gradients, revivals, tables, words
from relusparsity.experiments import attribution, costs, outliers, sealing, written

# %% tags=["remove-input"]
laptop = store.recorded("why_units_die", "laptop")
controls = effects.of_controls(laptop, experiment.POINT)
mid, frozen, rare = (store.recorded(name, "mid") for name in ("attribution", "sealing", "outliers"))

# %% [markdown]
# ## From birth to death
#
# **Three causes move a unit, and they add up.** Its pre-activation is $z = w \cdot x + b$, with $x$ what its MLP reads;
# $m$ is the mean of $x$ over some fixed held-out text. Between two kept steps the mean of $z$ changes by
#
# $$
# \begin{aligned}
# \Delta \bar z = {} & \underbrace{\Delta_{\text{data}} w \cdot \bar m
# + \Delta_{\text{data}} b}_{\text{data-driven updates}} \\
# & + \underbrace{\Delta_{\text{decay}} w \cdot \bar m}_{\text{decay}} \\
# & + \underbrace{\bar w \cdot \Delta m}_{\text{change of the input}}
# \end{aligned}
# $$ (eq-causes)
#
# with $\bar m$ and $\bar w$ the means of both ends. Decay is what AdamW takes off a weight at each step; the
# data-driven part is all else that the optimiser did. The recipe of **Laptop** (6 × 1,024 units) does not decay biases.

# %% tags=["remove-input"]
figures.birth_to_death(laptop, 3, "middle")

# %% tags=["remove-input"]
words.moved(laptop)

# %% [markdown]
# Followed are, of each layer but the first, where none dies, the unit that died first, the one in the middle, and the
# one that died last, among those that died once and had not come back by the end.

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "A unit of layer 4 that died late", "code_prompt_hide": "Hide the unit"}
figures.birth_to_death(laptop, 4, "last")

# %% [markdown]
# What moved a unit is not yet what killed it: that the data push most of the dying down says nothing of what would have
# happened without the push. For that, something must be taken away.
#
# ## Take one cause away
#
# **A fork goes on from a kept state of a run, with one thing changed.** Its *twin* is the same fork with nothing
# changed. In each layer some units, drawn at random, are *treated*; the others train as always, so that the loss and
# the stream should stay nearly what they are. Weight decay stays. The *attributable fraction* is the share of deaths,
# among the treated units alone, that a control takes away:
#
# $$
# \mathrm{AF} = 1 - \frac{D_{\text{control}}}{D_{\text{twin}}}
# $$ (eq-af)
#
# with $D$ the treated units that die in the fork. A unit counts as dying if it lived at the fork and, at the end, has
# not fired for $n$ training tokens and fires nowhere on the held-out sets. *Upstream* is all that a layer's input is
# computed with.

# %% tags=["remove-input"]
words.made(laptop, "at 50 %: exchange")

# %% tags=["remove-input"] table="What each control does to a treated unit's update, and what it then tells apart"
tables.controls()

# %% [markdown]
# The step that does it, as it stands in the library; `given` are the data-driven updates of a layer's treated units:

# %% tags=["remove-input"]
words.lines_that_matter()

# %% [markdown]
# ## Own drift, or chance: a first sight

# %% tags=["remove-input"]
words.taken(laptop, experiment.POINT)

# %% tags=["remove-input"]
figures.by_layer(controls)

# %% tags=["remove-input"] table="What the control takes away, and whether row 10b lets it count. Laptop"
tables.compared(laptop, experiment.POINT)

# %% [markdown]
# An exchange leaves the common drift of units that fire about as often. It takes away what is tied to the unit itself,
# and that is two things: updates that go one way, step after step, and the standstill of a unit that has fallen silent,
# which may now get updates of units that still fire. These forks cannot tell the two apart.
#
# ## The forks that decide
#
# Laptop has some tens of deaths per layer and none in layer 0. The rows of the ledger are judged in **Mid** (6 ×
# 8,192), five seeds of the recipe *first*: of those tried in Mid when it was frozen, the nearest to the paper's two
# numbers. None of these seeds chose it. The forks begin at a quarter of the training and go on to its end.

# %% tags=["remove-input"]
words.made(mid, "at 25 %: exchange")

# %% tags=["remove-input"]
words.exchanged(mid, words.POINT)

# %% tags=["remove-input"]
of_mid = effects.of_controls(mid, words.POINT)
figures.by_layer(of_mid.sel(control=["exchange", "winsorise"], fork=["twin", "exchange", "winsorise"]))

# %% [markdown]
# **Layers differ.** In layer 0 exchange leaves a fifth of the deaths, in layers 1 and 2, which have most, the greater
# part, and in layer 3 it adds to them. Since the path is longer too, we cannot say how much of this is the exchange.
# Laptop was no guide to Mid: there exchange took away nine deaths in ten.

# %% tags=["remove-input"]
words.silent(mid, words.POINT)

# %% tags=["remove-input"]
figures.by_control(of_mid)

# %% tags=["remove-input"]
words.others(mid, words.POINT)

# %% [markdown]
# That as many units die without any direction does not say that they die of the same: decay goes on, and what the data
# did to keep a unit alive is gone. So a negative AF can say that the control kills, or that own updates keep alive.

# %% tags=["remove-input"] table="What each control takes away of the deaths, all layers, and whether it counts: loss and path beside the twin's. Mid, means of five seeds"
tables.over_seeds(mid, words.POINT)

# %% [markdown]
# No control but winsorising counts in every seed. Three of our intervals were about two wide, and could hardly fail.

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "What we had written, fork by fork", "code_prompt_hide": "Hide what we had written"} table="Share of deaths taken away: intervals written before the runs, and what came. Mid, mean of five seeds"
written.came(attribution, mid).rename_axis("fork")

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "The sentences, with their chances", "code_prompt_hide": "Hide the sentences"} table="Sentences about the controls, the chance that we gave each before the runs, and what came. Mid"
written.said(attribution, mid)

# %% [markdown]
# All were written on 2026-11-29, before any run, but the last sentence: that came a day later, when Laptop had been
# seen.
#
# ## What seals death
#
# **A dead unit gets no gradient, and four things can still wake it**: a change of the layers before it, decay, what is
# left in the optimiser's moments, and text unlike that of its silence. Laptop gives a first sight.

# %% tags=["remove-input"]
revivals.sealed(laptop, experiment.LAYER, experiment.TWIN)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "The same by the length of the silence", "code_prompt_hide": "Hide the silences"}
figures.hazard(effects.of_revivals(laptop, experiment.LAYER, experiment.TWIN))

# %% [markdown]
# **In Mid we also count who returns when nothing moves.** From a quarter of the training on, forks of 2,000 steps freeze
# what lies before layer 2, spare its dead from decay, or decay biases, alone and together. In one fork more, the
# *floor*, upstream is frozen, the dead do not decay, and the optimiser's moments are zeroed. There the dead and what
# they read stand still: the text before the fork and the text after it are two probes of the same units.

# %% tags=["remove-input"]
revivals.over_seeds(frozen)

# %% tags=["remove-input"]
revivals.row_16(frozen)

# %% tags=["remove-input"]
figures.hazard(effects.of_revivals(frozen, sealing.LAYER, sealing.named()))

# %% [markdown]
# A unit silent for a million tokens may still fire, so a count of revivals is in large part a count of rare units. We
# had expected more revivals, and fewer of them at the floor. All was written on 2026-11-29, before any run.

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "What we had written of revivals", "code_prompt_hide": "Hide what we had written of revivals"} table="Share of layer 2's dead that come back in 2,000 steps, in percent: intervals written before the runs, and what came. Mid, mean of five seeds"
written.came(sealing, frozen, 1).rename_axis("fork")

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "The sentences on revivals", "code_prompt_hide": "Hide the sentences on revivals"} table="Sentences about revivals, the chance that we gave each before the runs, and what came. Mid"
written.said(sealing, frozen)

# %% [markdown]
# ## Are outliers to blame?
#
# Forks of the same seeds make some gradients larger, or leave out the batches that had the largest ones in the parent.
# A *fall* is what a step takes off the 99.9th percentile of a unit's pre-activation.

# %% tags=["remove-input"]
gradients.said(rare)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "What we had written of outliers", "code_prompt_hide": "Hide what we had written of outliers"} table="Deaths of a fork, as a multiple of its twin's: intervals written before the runs, and what came. Mid, mean of five seeds"
written.came(outliers, rare).rename_axis("fork")

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "The sentences on outliers", "code_prompt_hide": "Hide the sentences on outliers"} table="Sentences about outliers, the chance that we gave each before the runs, and what came. Mid"
written.said(outliers, rare)

# %% [markdown]
# ## Forks to come

# %% tags=["remove-input"]
words.to_come(mid, frozen, rare)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "The intervals, fork by fork", "code_prompt_hide": "Hide the intervals"} table="What we expect of the forks that have not all run, written before the first"
tables.expected()

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Their sentences, with their chances", "code_prompt_hide": "Hide their sentences"} table="Sentences about the forks that have not all run, and the chance that we gave each before the first"
tables.chances()

# %% [markdown]
# ## Try it
#
# **1.** Sixty treated units die in a twin, forty-five with a control. What is AF, and is it surely above 0?
#
# :::{dropdown} Answer
# By {eq}`eq-af` 0.25. Counting alone leaves anything from −0.10 to 0.49 (95 %): these forks cannot tell.
# :::
#
# **2.** Give a unit no data-driven update any more, and leave decay. Does it die?
#
# :::{dropdown} Answer
# Its weights shrink, its bias stays: the pre-activation goes to the bias. With a negative one it dies, with a positive
# one it fires at every token. So a control that destroys the drift can make *more* units die, and AF can be below zero.
# :::
#
# **3.** With all before a layer frozen, some of its dead still come back. Name two ways.
#
# :::{dropdown} Answer
# New text brings what it had not brought before: in Mid the main one. And decay moves the pre-activation to the bias. A
# third: the optimiser's moments still move the weights for some tens of steps after the last gradient.
# :::
#
# ## The same on your machine
#
# `papermill notebooks/09_why_units_die.py` trains a parent and three forks of 200 steps here, or reads them back.
# Another machine, or another number of threads, rounds sums otherwise, and other units die: how far its bars lie from
# those above is a measure of how sure one run is.

# %% tags=["nbval-ignore-output", "remove-input", "hide-output"] mystnb={"code_prompt_show": "The forks of this machine", "code_prompt_hide": "Hide this machine's forks"}
live_scale = scales.live(scale)
here = experiment.run(experiment.config(live_scale))
figures.by_layer(effects.of_controls(here, experiment.POINT), name="here")

# %% [markdown]
# ## Claims
#
# The ledger's rows on why units die. Row 11b asks for outliers that kill before it says that outliers do not.

# %% tags=["remove-input"]
read = {(name, "mid"): of for name, of in (("attribution", mid), ("sealing", frozen), ("outliers", rare))}
claims.table(claims.evaluate(read, rows=claims.for_chapter(9), rules=tables.RULES))

# %% [markdown]
# ## What we cannot say
#
# - **Mid: no cause is shown.** Its primary control moves the treated units too far, and five seeds are of one recipe and
#   one point of the training.
# - **Dynamics has many parts.** What is a unit's own drift here is that of AdamW on this text. Whether plain gradient
#   descent would do the same is open.
# - **Freezing changes the rest.** The network learns something else meanwhile; with tied embeddings its output stands.
# - **Mid: why the dead stay dead is not measured.** Beyond what new text alone wakes, too few come back. The test needs a
#   longer silence to call a unit dead.
# - **Some deaths counted here are rare units.** Deaths and revivals go by the same silence of a million tokens, and at the
#   end a dead unit is silent on the held-out sets too; the AF of Mid still counts some units that did not die.
# - **A mean over text is one number.** A unit dies by the upper end of its pre-activations; we follow their mean, and
#   show the whole histogram.

# %% tags=["remove-input"]
words.cannot_say(laptop, experiment.POINT)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Runs, minutes and machines", "code_prompt_hide": "Hide the cost"}
costs.cost({"Laptop": laptop, "Mid, controls": mid, "Mid, frozen": frozen, "Mid, gradients": rare})

# %% [markdown]
# Next: [what removing the dead buys](10_pruning_while_training.ipynb), or [who comes back](03_neuron_death.ipynb).
