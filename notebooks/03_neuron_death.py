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
# **Question.** Do hidden units die in training: which, when, and for good? And when a unit is silent on held-out
# text, is it dead, or only rare? The paper {cite:p}`wild2024uncovering` speaks of neurons "turning off", "rather than
# randomly", and not "as a result of outliers".
#
# **What would falsify it.** Silence that is rarity: units that stay quiet for 8,192 tokens and fire when more text is
# read, as often as chance lets one expect. Death that does not last: units that come back as often as they go. The
# threshold is row 9 of the ledger. Rows 10 and 11, on the *cause*, need training runs with altered updates, which
# this part of the book does not have; it says so instead of guessing.

# %% tags=["parameters"]
scale = "laptop"

# %%
from relusparsity import claims, scales, store
from relusparsity.chapters.ch03_neuron_death import experiment, figures, tables

# %% [markdown]
# ## Two words, kept apart
#
# - A unit is **dead(n)** if it has not fired in the last $n$ tokens *of the training stream*. The count runs inside
#   the training step and misses no token. Its **onset** is its last firing, known only $n$ tokens later. A dead unit
#   that fires again is a **revival**.
# - A unit is **silent** on a held-out sample if it fires at none of its tokens *under frozen weights*. Silence says
#   nothing without the size of the sample.
#
# Death is about time, silence about text. A unit may be dead and not silent (the held-out text has what the last $n$
# training tokens lacked), or silent and not dead.

# %%
recorded = store.recorded("neuron_death", "laptop")
made, n = store.provenance(recorded)["config"], recorded.attrs["dead_after"]
print(f"{made['train']['tokens']:,} training tokens; dead: no firing in the last {n:,} of them")
print(f"{recorded.sizes['unit']:,} units a layer, {recorded.sizes['seed']} seeds")
print("held-out tokens:", *(f"{recorded.attrs[f'{size}_sample_tokens']:,} ({size})" for size in ("small", "large")))

# %% [markdown]
# ## Who dies when
#
# Each bar counts units by their last firing before their first death. Early bars are units that fell silent while the
# model learned its first things; late bars are units that training retired slowly. Compare the layers: the chapter
# before showed *that* they come apart, this shows *when*.

# %%
figures.death_onsets(recorded)

# %% [markdown]
# The same data as survival curves. Every unit is followed for equally long, so the Kaplan–Meier estimate is the plain
# share; it ends $n$ tokens before training does, since a later death cannot be confirmed.

# %%
figures.survival(recorded)

# %% [markdown]
# ## Who comes back
#
# A first death is not the end of the story. The share of units that are dead *at a moment* rises with deaths and
# falls with revivals:

# %%
figures.dead_over_training(recorded)

# %%
figures.deaths_and_revivals(recorded)

# %% [markdown]
# In percent of a layer's units, mean over seeds: units that ever died, units that came back at least once, units dead
# when training ended.

# %%
tables.fates(recorded)

# %% [markdown]
# Where the first column is much larger than the last, death(n) is a state and not a fate, and a figure of first
# deaths alone overstates what is lost.
#
# ## Is it written at the start?
#
# If death struck at random, how often a unit fires early on would tell nothing about its end. The units followed from
# before the run are sorted, within their layer, into quarters by their firing rate; below is the share of each
# quarter (percent) that dies later. First by the rate before the first step, when weights are random:

# %%
later = 100 * recorded["death_share_by_rate"].mean("seed")
later.sel(measured_at="before training").to_pandas().astype(float).round(1)

# %% [markdown]
# Then by the rate after the warm-up, among units still alive:

# %%
later.sel(measured_at="after the warm-up").to_pandas().astype(float).round(1)

# %% [markdown]
# A row that falls from left to right says: the rare die. One that rises says: the busy die. A flat row says that the
# rate at that moment predicts nothing. Before training layers 1 and 2 rise and layer 5 falls. After the warm-up, in
# every seed, the busiest quarter of layer 1 and the rarest of layer 5 die most. So no one sign holds for all layers,
# and in Wide the signs are others (below). This is a correlation and decides nothing about the cause, for which rows 10
# and 11 ask.
#
# ## What happens to a unit before it dies
#
# A unit fires where its pre-activation $z = w \cdot x + b$ is above zero. It can fall silent because the mean of $z$
# sinks (the weights turn away from the mean input, or the bias falls), because its spread narrows, or both. Below,
# the dying units are moved so that their last firing is at zero; dotted, the units of the same layer and seed that
# never die, at the same steps. What both do is training; where they part is death.

# %%
figures.drift_before_death(recorded)

# %% [markdown]
# Medians at the end of training, by fate, mean over seeds. `input_alignment` is the cosine between a unit's input
# weights and the mean input of its layer: a strongly negative one means that the unit points away from what all
# tokens share. NaN marks a layer without dead units among those followed.

# %%
quantities = ["preactivation_mean", "input_alignment", "input_bias"]
medians = recorded["fate_median"].sel(quantity=quantities).mean("seed")
medians.to_series().astype(float).unstack(["quantity", "fate"]).sort_index(axis=1).round(3)

# %% [markdown]
# ## Silent against dead, and what chance explains
#
# Now the other word. A first sample of held-out text finds some units silent. A second, much larger and disjoint one
# is read for exactly these units. Three outcomes are possible for each: it fires (it was only rare), it stays silent
# and chance would let it fire in yet more text, or it stays silent beyond what chance allows.
#
# The middle part is estimated after {cite:t}`good1953population`: the number of new units that a further sample of
# the same size would wake is about the number that fired in exactly *one* of the draws so far. Draws are sequences,
# because firings bunch in them: counting tokens as draws would make a unit that fired five times in one sentence look
# well established.

# %%
figures.silent_vs_dead(recorded)

# %% [markdown]
# The counts behind it, over all layers, one column per seed. `good_turing_documents` is the same forecast with whole
# documents as draws; `good_turing_upper` bounds the forecast at 95 %.

# %%
silent = ["silent_small", "silent_both"]
forecast = ["good_turing_expected", "good_turing_upper", "good_turing_documents"]
counts = recorded[[*silent, *forecast, "dead_count", "dead_and_silent_count"]].sum("layer")
counts.to_dataframe().astype(float).round(1).T

# %% [markdown]
# ### Is the forecast any good?
#
# It can be tried where the answer is known. The documents of the large sample are split into two random halves, 200
# times: the first half forecasts how many of the units silent so far will wake in the second. Below for the first
# seed, layer by layer, the median and the range of 95 % of the splits. The forecast may be high, because it counts
# units of middling rate in full; one that is *too low* would make the row's rule too lenient.

# %%
first = recorded[["woken_observed", "woken_expected"]].isel(seed=0)
first.to_array("count").to_series().astype(float).unstack(["count", "level"]).round(1)

# %% [markdown]
# How much does the number of silent units hang on which documents were read? Here the documents of the large sample
# are drawn again with replacement (a bootstrap; each draw leaves out about a third of the documents, so it leans
# upwards). Units silent in both samples, first seed:

# %%
recorded["silent_both_bootstrap"].isel(seed=0).to_pandas().round(1)

# %% [markdown]
# ## Dead on one domain, alive on another
#
# A unit may be silent because its kind of text did not come up. The held-out text has domains: the packages whose
# documentation it is. From the largest ones, samples of equal size are read.

# %%
figures.domains(recorded)

# %% [markdown]
# The control is on the diagonal: units silent on one sample of a domain that fire on a *second sample of the same
# domain*, as large. What stands beside the diagonal is due to the domain only as far as it exceeds it. Units of all
# layers, mean over seeds; rows: silent on, columns: fires on.

# %%
recorded["domain_silent_units"].sum("layer").mean("seed").to_pandas().astype(float).round(1)

# %% [markdown]
# ## The Wide models
#
# The same measurements on Wide: 6 × 32,768 units, trained on English (chapter 2).
#
# Units die in every layer, and the layers have their own times. Of the units that die, the last layer loses a fifth to
# a quarter before the warm-up is over, at 8 million tokens; layer 1 loses more than four fifths of its in the next
# twenty million, layer 2 from two fifths to more than four; layer 0 begins last, at some 15 million, and layer 4 goes
# on longest.

# %%
wide = store.recorded("neuron_death", "wide")
figures.death_onsets(wide)

# %%
figures.deaths_and_revivals(wide)

# %% [markdown]
# Units that ever died, that came back at least once, and that are dead at the end, in percent, mean over seeds. Many
# units die more than once: coming back is common on the way and rare at the end.

# %%
tables.fates(wide)

# %% [markdown]
# Is it written at the start? Hardly before the first step: on average the quarters of a layer lie within nine points,
# where chance alone gives the mean of one (128 units in each of three seeds) a standard deviation of up to two and a
# half.

# %%
later = 100 * wide["death_share_by_rate"].mean("seed")
later.sel(measured_at="before training").to_pandas().astype(float).round(1)

# %%
later.sel(measured_at="after the warm-up").to_pandas().astype(float).round(1)

# %% [markdown]
# After the warm-up the rate says something. In every seed the rarest quarter of layers 4 and 5 dies most, in layer 5
# twice as often as any other. In layer 0 it is the busiest quarter, in every seed. In layers 2 and 3 the seeds have no
# order in common, and in layer 1, where nearly all die, the quarters lie within three points. In Laptop it is the
# busiest quarter of layer 1 that dies most, and no unit of layer 0 dies at all.
#
# What happens before a unit's last firing: the mean pre-activation sinks in units that die and in units that live, by
# the last firing somewhat further in the dying, most in layers 0 and 1. The spread, alike before, is by then narrower
# in them (in all but one layer of one seed), and the upper tail no longer reaches zero. While a unit is silent no
# gradient reaches it, and its weights shrink at the pace of weight decay alone.

# %%
figures.drift_before_death(wide)

# %% [markdown]
# ### Silence is death here
#
# Of the units silent on one set of 8,192 tokens nearly all stay silent on a million more; chance lets one expect fewer
# than ten to wake in yet another million, out of more than a hundred thousand. In Laptop a good part of the silent
# units were only rare.

# %%
figures.silent_vs_dead(wide)

# %%
counts = wide[[*silent, *forecast, "dead_count", "dead_and_silent_count"]].sum("layer")
counts.to_dataframe().astype(float).round(1).T

# %% [markdown]
# Nor do they sleep until their kind of text comes up. Of the many units silent on one domain, hardly any fires on
# another, about as many as on a second sample of the same one: one to two dozen out of a hundred and thirty thousand.
# That holds of C4 too, web text of which the models have seen none. Units of all layers, mean over seeds; rows: silent
# on, columns: fires on.

# %%
wide["domain_silent_units"].sum("layer").mean("seed").to_pandas().astype(float).round(1)

# %% [markdown]
# ## The Mid models
#
# Five seeds of Mid, 6 × 8,192 units, with *first*, a recipe of less decay (chapter 2), and for fewer tokens. Fewer
# units are silent, and a larger part of them is only rare (4 to 5 %, against half a percent in Wide); but here too
# silence on 8,192 tokens is nearly always silence on a million:

# %%
mid = store.recorded("neuron_death", "mid")
figures.silent_vs_dead(mid)

# %%
counts = mid[[*silent, *forecast, "dead_count", "dead_and_silent_count"]].sum("layer")
counts.to_dataframe().astype(float).round(1).T

# %%
tables.fates(mid)

# %% [markdown]
# ## On this machine
#
# Everything above is recorded data. The same, run here (or read back, if it has run before):

# %% tags=["nbval-ignore-output"]
live_scale = scales.live(scale)
here = experiment.run(experiment.config(live_scale))
figures.dead_over_training(recorded, here)

# %% [markdown]
# ## Claims
#
# Row 9 asks for a large sample of a million tokens and is judged on Wide and Mid (the ledger's P and S); what the
# recorded Laptop runs show stands beside it. Rows 10 and 11 need an experiment that does not exist yet.

# %%
scales_of = {"wide": wide, "mid": mid, "laptop": recorded}
every = {("neuron_death", name): dataset for name, dataset in scales_of.items()}
claims.table(claims.evaluate(every, rows=claims.for_chapter(3)))

# %% [markdown]
# The same row read from the run of this machine:

# %% tags=["nbval-ignore-output"]
own = claims.evaluate({}, {("neuron_death", live_scale): here}, rows=claims.for_chapter(3))
claims.table([outcome for outcome in own if outcome.here])

# %% [markdown]
# ## Limits, cost, what next
#
# - **dead(n) depends on n.** A larger n confirms fewer deaths and sees fewer revivals. It is stated with every
#   number.
# - **Good–Turing assumes exchangeable draws.** Neighbouring sequences share documents; hence the second forecast with
#   documents as draws, and the random halves.
# - **Nothing here shows a cause.** What goes before death, such as a spread that narrows, could follow from a third
#   thing. That takes interventions: updates with randomised directions (row 10), updates without their outliers (row
#   11).
# - **Silent on this text.** Laptop's text is documentation of Python packages, Wide's is Wikipedia, books and
#   transcripts; the domains show how far that matters among them, and nothing beyond.
#
# What the training runs cost, in seconds, one per seed (shared by all chapters):

# %%
for dataset in (wide, mid, recorded):
    print(store.provenance(dataset)["environment"]["device"])
    print("wall seconds, one a seed:", store.provenance(dataset)["wall_seconds"])

# %% [markdown]
# Next: the units that live. What do they fire on, and is it more of one thing in the first layer or in the last?
