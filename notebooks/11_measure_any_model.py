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
# *You will learn* how to count exactly in a model of your own, and against which reading its number must be held. *9
# minutes to read, 2 to run.*
#
# **Question.** How sparse is a model that was not trained for this book, and what would it read had it learned nothing?
#
# **What would falsify our answer.** A ReLU model with random weights whose layers come apart, of which many units are
# silent, or in which far from half of the units fire at a token: then the pattern of a trained model could be one of
# architecture or instrument. Removing units of such a model should cost nothing either, whichever they are.

# %% tags=["parameters", "remove-input"]
scale = "laptop"

# %% tags=["remove-input"]
from IPython.display import display

import relusparsity
from relusparsity import plots, scales, store
from relusparsity.chapters.ch11_measure_any_model import experiment, figures, public_tables, tables, words
from relusparsity.plots import measured

# %% tags=["nbval-ignore-output", "remove-input"]
recorded, public = (store.recorded(name, "laptop") for name in ("any_model", "real_checkpoints"))
trained, untrained = (tables.one(recorded, name) for name in ("trained", "untrained"))
beside = {"trained": trained, "untrained": untrained}
config = experiment.config(scales.live(scale))
model, batch = experiment.fresh("opt", config), experiment.batch(config)

# %% [markdown]
# ## Three checkpoints that others trained

# %% tags=["remove-input"] table="Units that fire, percent, least and most of a checkpoint's layers, and silent units of all layers"
display(words.checkpoints(public), public_tables.use(public))

# %% [markdown]
# The whole reports, as the command below writes them: <a href="../reports/smollm2.html">SmolLM2</a>,
# <a href="../reports/nanoguard.html">NanoGuard</a> and <a href="../reports/uzmorph.html">Uzmorph</a>, the last two
# beside the same weights shuffled.

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "The checkpoints, their packages and licences", "code_prompt_hide": "Hide the checkpoints"}
public_tables.about(public)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "SmolLM2 without some of its units: change of the loss, percent", "code_prompt_hide": "Hide the costs"}
public_tables.costs(public)

# %% [markdown]
# ## Three lines
#
# **Put your model's own call into this block, and every hidden unit is counted.** `model` is a PyTorch model and
# `batch` what its call takes. For one of `transformers`:
#
# ```python
# from transformers import AutoModelForCausalLM, AutoTokenizer
#
# model = AutoModelForCausalLM.from_pretrained("my-model")
# batch = AutoTokenizer.from_pretrained("my-model")("Some text of yours.", return_tensors="pt")
# ```
#
# Here it is a small OPT of `transformers`, freshly made with random weights, and some held-out text:

# %% tags=["nbval-ignore-output"]
with relusparsity.track(model) as use:
    model(**batch)
print(use)

# %% [markdown]
# Call the model as often as you like; after the block it is as it was. `use.dataset()` has every statistic of the
# chapters before, under the same names.
#
# :::{dropdown} What is counted, and where
# Counted are integers: tokens and sequences in which each unit fired, histograms over both, and unions over windows of
# 1, 2, 4 … tokens. They are divided once, when read, and memory does not grow with the text.
#
# Hidden layers are found by structure: one activation module in every numbered block. That covers OPT, GPT-2, GPT-NeoX
# and Pythia, T5, BERT, ViT, Llama, Mistral, Qwen and their kin. In gated MLPs it is the activation of the gate.
# Anything else takes a pattern of module names, `track(model, "*.mlp.act")`, or a function of name and module. If
# nothing is found, or too much, one sentence says so.
#
# Padding does not count, where the model's own call has an attention mask. A text that is decoded token by token with a
# cache counts as the sequence that it is. Compiled models run uncompiled inside the block, for a compiled graph runs no
# hooks that were added later.
# :::
#
# ## What the command makes
#
# **One command reads a checkpoint and a text, and writes a report and its numbers.**
#
# ```bash
# pip install transformers
# python -m relusparsity measure facebook/opt-125m --text my.jsonl --tokens 1M
# ```
#
# The model is a name on the Hugging Face hub, a folder that `save_pretrained` wrote, or a run of this book.
# `measured-opt-125m/report.html` is one file with figures like those below, `dataset.nc` beside it has the numbers.
#
# :::{dropdown} Text, options, several models
# Each line of `my.jsonl` is a JSON object with a field "text"; .txt files and folders do as well, compressed or not. A
# million tokens are about five megabytes of English. The command packs documents into sequences and attention crosses
# them, as in training. Interrupted, it resumes. `--device`, `--dtype bfloat16` and `--batch_size` say how the model is
# run, `--rule cett=0.2` what counts as firing, `--layers "*.mlp.act"` where to look if it should not find that itself.
# Weights are read from safetensors only; where a repository has none, `transformers` asks the hub for a converted
# copy. Code that comes with a model runs only with `--trust_remote_code`.
#
# `python -m relusparsity measure step-1000 step-2000 step-3000 --text my.jsonl` measures saved checkpoints and writes
# one report of them all. Models are compared only on one text and by one rule; a report of two rules is refused.
# :::
#
# ## What a network that learned nothing reads

# %% tags=["remove-input"]
display(words.zero_point(recorded), figures.zero_point(recorded))

# %% [markdown]
# Random weights are drawn symmetrically around zero, and biases begin at zero. So a unit's weights $w$ are as likely as
# $-w$, and whatever the layer's input $x \ne 0$ is, one of the two gives a positive pre-activation:
#
# $$\mathbb{E}[u] = \Pr\bigl[w^\top x > 0\bigr] = \tfrac{1}{2}.$$ (eq-half)
#
# Here $u$ is the layer's *token use*, the share of its units that fire at a token. What departs from the half, in
# either direction, was learned, or is the mark of another initialisation.

# %% tags=["remove-input"]
words.learned(recorded)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "The five measurements", "code_prompt_hide": "Hide the measurements"} table="The five models that were measured"
tables.about(recorded)

# %% [markdown]
# :::{dropdown} The zero point of your architecture
# It needs no weights, only the configuration. Save the model without training and measure both:
#
# ```python
# from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
#
# AutoModelForCausalLM.from_config(AutoConfig.from_pretrained("my-model")).save_pretrained("untrained")
# AutoTokenizer.from_pretrained("my-model").save_pretrained("untrained")
# ```
#
# Then `python -m relusparsity measure my-model untrained --text my.jsonl` shows the two side by side.
# :::
#
# ## How to read a report
#
# ### Use, from a token to the whole text

# %% tags=["remove-input"]
display(words.both_ends(recorded), figures.layer_use(beside))

# %% [markdown]
# ### Window curves

# %% tags=["remove-input"]
display(words.still_rising(recorded), figures.windows(beside))

# %% [markdown]
# ### Firing rates of single units

# %% tags=["remove-input"]
words.unequal(recorded)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "How often the units of each layer fire", "code_prompt_hide": "Hide the figure"}
figures.firing_rates(beside)

# %% [markdown]
# ### Silent units, with the evidence

# %% tags=["remove-input"] table="How many units are silent, and how many may only be rare"
display(words.evidence(recorded), figures.silent(trained), tables.evidence(recorded, ["trained", "untrained", "OPT"]))

# %% [markdown]
# *Would wake*: in as much text again. *Silent if drawn again*: if as many of these sequences were drawn with
# repetition. Another kind of text may wake other units ([chapter 3](03_neuron_death.ipynb)), so give a checkpoint text of
# the kind that it was trained on.
#
# ### More that a report has
#
# It follows units from one checkpoint to the next, and shows what single units fire on, chosen by rule.

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Two checkpoints: units that fall silent from the first step to the last", "code_prompt_hide": "Hide the figure"}
measured.changes(untrained, trained)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "What units fire on: how it bunches in sequences, and the words of some", "code_prompt_hide": "Hide the units"} table="What chosen units of the trained model fire on"
display(plots.specificity(trained), tables.units(recorded))

# %% [markdown]
# ## Activations that are never zero
#
# GELU and SiLU are hardly ever exactly zero. A threshold makes a number of them, and *which* threshold decides the
# number. So results of different rules are never put together.
#
# `cett=0.2` is the rule of the Sparsing Law paper {cite:p}`luo2025sparsing`: the largest threshold on the size of a
# unit's *output* below which everything together makes up at most 20 % of the norm of the MLP's output, mean over
# tokens.
#
# :::{dropdown} The other rules
# - `epsilon=0.1`: a size above a fixed number, which is blind to the scale of the model.
# - `quantile=0.9`: above a quantile of the layer's own sizes. It fixes the mean by definition; what remains is how
#   firing is distributed over units.
# - `cett-ppl=1`: as `cett`, as far as the perplexity rises by at most 1 %. Either threshold is found from one histogram
#   pass and verified on the text, and the error reached is kept.
#
# In Python they are given to `track(model, rule=…)`: see `relusparsity.anymodel.above` and `.calibrate`.
# :::

# %% tags=["remove-input"]
words.chance(recorded)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "The untrained Llama under two rules, percent of units at a token", "code_prompt_hide": "Hide the table"} table="The untrained Llama under two rules of firing, percent of units at a token"
tables.rules(recorded)

# %% [markdown]
# ## Removing units

# %% tags=["remove-input"] table="Change of the loss, percent, by share of units removed"
display(words.removal(recorded), tables.costs(recorded, ["trained", "untrained"]))

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "From which layers of the trained network they go", "code_prompt_hide": "Hide the figure"}
plots.pruning(trained)

# %% [markdown]
# ## Predictions
#
# Written on 22 November 2026, before any of these checkpoints was measured here, and none has been since. Sample: 1 M
# tokens of English web text, in sequences of 512, exact rule unless another is named. The first two are what "Neurons in
# Large Language Models: Dead, N-gram, Positional" {cite:p}`voita2024neurons` reports, on its own and larger text; the
# others are ours.
#
# :::{dropdown} The seven predictions
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
# :::
#
# ## What we cannot say
#
# - **The half is of this initialisation.** Make the baseline of *your* architecture before you speak of sparsity.
# - **One seed, one size.** Of a narrow or a deep network, one draw of weights may lie further from the half.
# - **Not every architecture.** Of a mixture of experts, shared experts and dense layers are counted. Routed experts see
#   chosen tokens only; they are left out, and the report names them.
# - **Precision is part of the reading.** In bfloat16 a few activations near zero fall otherwise than in float32.
#
# ## Try it
#
# **1.** A friend measures a Llama with `--rule cett=0.2`, reads 39 % of the units at a token and says: "Sparser than
# random, for that would be half." What has been shown?

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Answer to 1", "code_prompt_hide": "Hide the answer"}
words.answer_friend(recorded)

# %% [markdown]
# **2.** Look at the pale parts in the figure of silent units. Of which layer's silent units will the largest share fire
# in as much text again?

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Answer to 2", "code_prompt_hide": "Hide the answer"}
words.answer_wakes(recorded)

# %% [markdown]
# ## The same on your machine
#
# `papermill notebooks/11_measure_any_model.py` makes and measures the same models here.

# %% tags=["nbval-ignore-output", "remove-input", "hide-output"] mystnb={"code_prompt_show": "Token use of this machine over the recorded", "code_prompt_hide": "Hide the figure"}
here = experiment.run(config)
figures.zero_point(recorded, here)

# %% [markdown]
# ## Claims
#
# This chapter decides no row of [the ledger](../ledger.md): the paper makes no claim about other models. How predictions
# fared is counted in [*How we kept ourselves honest*](../honest.md).
# Before you quote a number of sparsity, read [the six lines on the front page](../index.md). If your model has an empty
# layer, [chapter 7](07_which_layer.ipynb) shows which choices of a recipe decide where it lies.
