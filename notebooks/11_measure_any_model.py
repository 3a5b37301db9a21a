# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Measure any model

# %% tags=["remove-input"]
from relusparsity.chapters.ch11_measure_any_model.short import in_short

in_short()

# %% [markdown]
# *You will learn* how to count exactly in a model of your own, and against which reading its number must be held. *12
# minutes to read, 2 to run.*
#
# **Question.** Chapters 1 to 6 look at models that were trained for the purpose. Does the instrument work
# on a model that nobody here trained, and what does it read on one that has learned nothing? Only against that
# reading can a number from a real checkpoint be called sparse.
#
# **What would falsify it.** A ReLU model with random weights in which the layers come apart, in which many units are
# silent, or far from half of the units fire at a token: then the pattern of a trained model could be one of
# architecture or instrument, and not of training. Removing units of such a model should cost nothing either,
# whichever units they are.
#
# What the instrument should find in public checkpoints is written down at the end, as predictions that were made
# without a network and that a reader with one can check with one command each.

# %% tags=["parameters"]
scale = "laptop"

# %%
import pandas as pd

import relusparsity
from relusparsity import plots, scales, store
from relusparsity.chapters.ch11_measure_any_model import experiment, tables
from relusparsity.plots import measured

# %% [markdown]
# ## Three lines
#
# A small OPT of the `transformers` library, freshly made with random weights, and some held-out text in tokens:

# %% tags=["nbval-ignore-output"]
live_scale = scales.live(scale)
config = experiment.config(live_scale)
model = experiment.fresh("opt", config)
batch = experiment.batch(config)

# %% [markdown]
# The three lines. Inside the block the model is run as always, by you, as often as you like, in training or inference;
# nothing else changes, and after the block the model is as it was.

# %% tags=["nbval-ignore-output"]
with relusparsity.track(model) as use:
    model(**batch)
print(use)

# %% [markdown]
# The printout says what was attached to. The hidden layers are found by structure: one activation module in every
# numbered block, which covers OPT, GPT-2, GPT-NeoX and Pythia, T5, BERT, ViT, Llama, Mistral, Qwen and their kin. In
# gated MLPs it is the activation of the gate. Anything else takes a pattern of module names,
# `track(model, "*.mlp.act")`, or a function of name and module. If nothing is found, or too much, one sentence says so.
#
# What is counted are integers: tokens and sequences in which each unit fired, histograms over tokens and sequences, and
# unions over windows of 1, 2, 4 … tokens. They are divided once, when read. Memory does not grow with the text. Padding
# does not count, where the model's own call has an attention mask; a text decoded token by token with a cache counts as
# the sequence that it is. `use.dataset()` has every statistic of the chapters before, under the same names;
# `use.firing_rate()` is one array per layer.
#
# ## What was measured
#
# Recorded are five measurements of one text, with models of one shape. *Trained* is this book's Laptop run of the first
# seed, *untrained* the same network before its first step. *OPT* and *Llama* are fresh models of `transformers`. The
# last is the same Llama under another rule, explained below.

# %%
pd.set_option("display.max_colwidth", None)
recorded = store.recorded("any_model", "laptop")
tables.about(recorded)

# %% [markdown]
# The last two rows say who has learned something: untrained models do as well as even guessing, that is, not at all.
#
# ## How to read it: use, layer by layer
#
# Four windows, from one token to the whole text. Read downwards: the first row says how much of a layer works at a
# moment, the last how much of it is ever needed here. A layer that is low in the first row and full in the last has
# *rare* units; one that is low in both has *silent* units.

# %%
trained, untrained = (tables.one(recorded, name) for name in ("trained", "untrained"))
measured.layer_use({"trained": trained, "untrained": untrained})

# %% [markdown]
# Token use in percent, one column per layer, for the three models with a ReLU:

# %%
tables.by_layer(recorded, "final_token_use", ["trained", "untrained", "OPT"])

# %% [markdown]
# Random weights are as likely to give a positive pre-activation as a negative one, so that about half of the units fire
# at a token, in every layer and whoever wrote the code. That is the zero point of this scale: 50 % at a token is no
# finding, and neither is 100 % in a long text. What departs from it, in either direction, was learned, or is the mark
# of another initialisation; so make the baseline of *your* architecture before you speak of sparsity. It needs no
# download: the class of the model and its configuration are enough, as above.
#
# ## Window curves
#
# Solid: running text. Dotted: as many tokens drawn at random. Two things to look at. Where does the solid curve end
# and is it flat there? If it still rises, more text will wake more units, and "silent" is a statement about the length
# of the text. And how wide is the gap? It is the part of the firing that clusters in documents.

# %%
measured.windows({"trained": trained, "untrained": untrained})

# %% [markdown]
# With random weights units differ in how often they fire, more so in the deeper layers than in the first, and yet
# nineteen in twenty have fired within a sequence or two. A curve that is still low there, and flat, is that of a layer
# with units that this text does not need; one that goes on rising over thousands of tokens is that of units that have
# become detectors of something rare.
#
# ## Firing rates of single units
#
# The line across is the median unit, dark the middle half, light all but the extremes. Mind the logarithmic axis: a
# short bar near the top is a layer of units that are all alike, a long bar one that divides its work unevenly. A bar
# that touches the lower edge has units that never fired.

# %%
measured.firing_rates({"trained": trained, "untrained": untrained})

# %% [markdown]
# ## Silent units, with the evidence
#
# *Silent* is a word about a text. Three numbers say how much it is worth, and all three take sequences rather than
# tokens as the draws, since firings cluster in sequences and a thousand tokens of one document are not a thousand
# witnesses:
#
# - how many of the silent units should fire in *as much text again*, by the number that fired in exactly one sequence
#   (Good–Turing);
# - how many units would be silent if as many of these sequences were drawn again, with repetition;
# - the largest share of sequences in which a silent unit may fire and still be missed with a chance of 5 %.

# %%
measured.silent({"trained": trained, "untrained": untrained})

# %%
tables.evidence(recorded, ["trained", "untrained", "OPT"])

# %% [markdown]
# All of this holds for text *like this one*. Another domain may wake units that no amount of the same would
# (chapter 3), so a checkpoint deserves text of the kind that it was trained on.
#
# ## Two models, or two checkpoints
#
# The figures above already put models side by side. If two measurements are of *the same* units at two times, the
# checkpoints of one training, then units can be followed one by one. From the first step to the last:

# %%
measured.changes(untrained, trained)

# %% [markdown]
# Up: units that fired before and are silent now. Down: the reverse. On the command line,
# `python -m relusparsity measure step-1000 step-2000 step-3000 --text my.jsonl` measures saved checkpoints and writes
# one report of them all. Models are compared only on one text and by one rule; a report of two rules is refused.
#
# ## What units fire on
#
# As in chapter 4: read vertically, at one firing rate. Above, how much firings bunch in sequences; below, how far they
# keep to few token types. Units are evenly spaced ones of every layer, and have 100 firings or more.

# %%
plots.specificity(trained)

# %% [markdown]
# Numbers of specificity are worth little if one never looks. Chosen by rule, not by taste: the most selective unit of
# each layer, the median one and the most clustered one, with the token types they fire on and where they were
# strongest.

# %% tags=["hide-output"] mystnb={"code_prompt_show": "Units, the words they fire on and where they are strongest", "code_prompt_hide": "Hide the units"}
tables.units(recorded, "trained")

# %% [markdown]
# A network with random weights has most selective units too, for there is always a first in a list:

# %%
tables.units(recorded, "untrained").query("`chosen as` == 'most selective'")

# %% [markdown]
# ## Removing units
#
# Units are ranked by their firings on one text, and the loss is measured on text set apart. The bars say from which
# layers they go. The price of the first step to the right is the one to read: up to the share of silent units it
# should be nothing.

# %%
plots.pruning(trained)

# %% [markdown]
# The same in numbers, change of the loss in percent, beside models that have learned nothing:

# %%
tables.costs(recorded, ["trained", "untrained", "OPT"])

# %% [markdown]
# Where nothing was learned, nothing can be lost: a cheap removal says something only of a model with a good loss.
# Look at the loss before you look at the costs, and at *random* before you praise *rate*: at the far end of the
# trained model it is the cheaper of the two.
#
# This answers the question of the beginning. Without training the layers do not come apart, hardly a unit is silent,
# half of them fire at a token, and removal changes the loss by a fifth of a percent at most; so what the trained model
# shows is the work of its training.
#
# ## Activations that are never zero
#
# GELU and SiLU have no exact zero, or hardly ever one. "Not exactly zero" then reads nearly everything, which is true
# and useless. A threshold makes a number of it, and *which* threshold decides the number. So every rule has a name
# that stays with its results, and results of different rules are never put together:
#
# - `epsilon=0.1`: a size above a fixed number. Simple, and blind to the scale of the model.
# - `quantile=0.9`: above a quantile of the layer's own sizes. It fixes the mean by definition; what remains is how
#   firing is distributed over units.
# - `cett=0.2`: the rule of the Sparsing Law paper {cite:p}`luo2025sparsing`. The largest threshold on the size of a
#   unit's *output* below which everything together makes up at most 20 % of the norm of the MLP's output, mean over
#   tokens. Found from one histogram pass and verified on the text, and the error reached is kept.
# - `cett-ppl=1`: the same, as far as the perplexity rises by at most 1 %.
#
# In Python they are `relusparsity.anymodel.above(0.1, layers)` and the functions of `relusparsity.anymodel.calibrate`,
# given to `track(model, rule=…)`. The untrained Llama under two rules, percent of units at a token:

# %%
tables.rules(recorded)

# %% [markdown]
# The second column looks like sparsity. It is not: the weights are random. Numbers without any structure, products of
# two normal ones as a gated MLP multiplies them, give, at a tail error of 0.2:

# %%
print(f"{tables.by_chance(0.2, factors=2)} % above the threshold; without a gate {tables.by_chance(0.2, 1)} %")

# %% [markdown]
# The untrained layers read nearly that. A trained model that reads about this number under this rule has shown nothing;
# only what lies below it is sparsity that training made. Each rule has such a zero point, and it is not the 50 % of the
# exact rule.
#
# ## On this machine
#
# The same measurements, live: models are made, the run is trained or read back, and all read the same text.

# %% tags=["nbval-ignore-output"]
here = experiment.run(config)
tables.by_layer(here, "final_token_use", here["model"].values.tolist())

# %% tags=["nbval-ignore-output"]
measured.layer_use({name: tables.one(here, name) for name in ("trained", "OPT")})

# %% [markdown]
# ## A real checkpoint
#
# With a network and some text, one command does all of the above for a checkpoint of the Hugging Face hub. It is shown
# and not run, for the book needs no network:
#
# ```bash
# pip install transformers
# python -m relusparsity measure facebook/opt-125m --text my.jsonl --tokens 1M
# ```
#
# `my.jsonl` has a JSON object with a field "text" a line; .txt files and folders do as well, compressed or not. A
# million tokens are about five megabytes of English. The command writes `measured-opt-125m/dataset.nc` and
# `measured-opt-125m/report.html`, one file with the figures above that opens anywhere. Interrupted, it resumes. A
# folder that `save_pretrained` wrote does in place of a name. `--device`, `--dtype bfloat16` and `--batch_size` say
# how it is run, `--rule cett=0.2` what counts as firing, `--layers "*.mlp.act"` where to look if it should not find
# that itself. Weights are read from safetensors only; where a repository has none, `transformers` asks the hub for a
# converted copy. Code that comes with a model runs only with `--trust_remote_code`.
#
# ## Predictions
#
# Written on 22 November 2026, before any of these checkpoints was measured here, and none has been since. Sample: 1 M
# tokens of English web text, `--text my.jsonl --tokens 1M`, in sequences of 512, exact rule unless another is named.
# The first two are what "Neurons in Large Language Models: Dead, N-gram, Positional" {cite:p}`voita2024neurons`
# reports, on its own and larger text; the others are ours. All that is needed stands in the report, in the table of
# layers and below the figure of removal.
#
# | | after `python -m relusparsity measure` | prediction | falsified if |
# |---|---|---|---|
# | source, a | `facebook/opt-66b --dtype bfloat16` (a GPU with 141 GB) | over 70 % of the units of some layers are silent, most of the silent ones in the first half of the network | no layer reaches 70 %, or the second half has more |
# | source, b | `facebook/opt-125m facebook/opt-1.3b` | silent units lie mostly in the first half of either model, and the larger has the larger share | a second half has more than its first, or the smaller model the larger share |
# | ours, c | `facebook/opt-125m` | every layer is far below the half of random weights: under 25 % at a token | a layer reads 25 % or more |
# | ours, d | `facebook/opt-125m` | taking out all silent units costs nothing: the loss on the text set apart changes by less than 0.1 % | it changes by 0.1 % or more |
# | ours, e | `facebook/opt-350m facebook/opt-125m` | opt-350m, the one of the family that normalises *after* the residual sum, has a smaller share of silent units | its share is the same or larger |
# | ours, f | `openai-community/gpt2` | a smooth baseline reads nearly everything: over 95 % in every layer at a token, and no unit is silent | a layer reads 95 % or less, or a unit is silent |
# | ours, g | `openai-community/gpt2 --rule cett=0.2` | training made sparsity here too: in most layers fewer units fire than random numbers without a gate would (above) | in half of the layers or more as many or more do |
#
# A unit that is silent in a long text is silent in every part of it, so reading less text than the source can only
# raise the shares of *(a)*; where two shares are compared, the length of the text may matter. *(e)* is the least
# sure: it follows from no theory of ours. A failed prediction is worth an issue, with the report attached.
#
# ## Limits, cost, what next
#
# - **No rows of the ledger.** The paper makes no claim about other models; this chapter has predictions instead of
#   verdicts, and they are not decided here.
# - **A recognised architecture is not every architecture.** Mixtures of experts are refused, because their units see
#   chosen tokens only. Layers of different widths are counted, but not drawn together.
# - **Compiled models run uncompiled inside the block**, for a compiled graph runs no hooks that were added later.
# - **Precision is part of the reading.** "Above zero" is decided in the precision that the model runs in; in bfloat16 a
#   few activations near zero fall otherwise than in float32.
# - **Packed text.** The command packs documents into sequences and attention crosses them, as in training. In Python
#   you decide.
# - **One seed, one size.** The baselines here are of one shape; deep networks with random weights may drift further
#   from the half.
#
# What the recorded measurements cost, one after the other:

# %%
facts = store.provenance(recorded)
print(facts["environment"]["device"])
print("wall seconds, one a measurement:", [round(seconds) for seconds in facts["wall_seconds"]])
