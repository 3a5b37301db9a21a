# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Specialised heads

# %% tags=["remove-input"]
from relusparsity.chapters.ch19_specialised_heads.short import in_short

in_short()

# %% [markdown]
# *You will learn* how to tell what an attention head does, which of these functions need training and which need text,
# how one of them is born, and what a model loses without it. *9 minutes to read, half a minute to run.*
#
# **Question.** Units of a layer are not alike: some fire everywhere, some never. Are heads alike? Interpretability has
# names for them: *previous-token* heads, heads that look at *delimiters* {cite:p}`clark2019bert`, *induction* heads, which
# find the last time that a token came and what followed {cite:p}`olsson2022induction`. A name is a claim about every text. Here
# it is a number, with what the number is where there is nothing to find.
#
# **What would falsify it.** Row 44 of the ledger fails if a trained model without its best 2 % of induction heads keeps
# more than half of what it gains from reading a text twice; or if as many other heads of the same layers cost more than
# a tenth; or if a decoder of one layer, which cannot have an induction head, scores 0.1 as one.

# %% tags=["parameters", "remove-input"]
scale = "laptop"

# %% tags=["remove-input"]
from relusparsity import claims, scales, store
from relusparsity.chapters.ch19_specialised_heads import born, experiment, figures, forecasts, read, rows, tables, words
from relusparsity.experiments import written

real, birth = store.recorded("real_heads", "laptop"), store.recorded(experiment.NAME, "laptop")

# %% [markdown]
# ## What a head does, as a number
#
# Let $A_{ij}$ be the weight that a head gives at token $i$ to token $j$; at each $i$ they sum to 1. A score is a
# mean of some of them over the tokens of a text: of $A_{i,i-1}$ (**previous token**), of $A_{i,0}$ (**first token**),
# of the sum over all punctuation and line ends (**delimiters**). For **induction**, $P$ different tokens, drawn at
# random, are read twice; at the second reading the token after the earlier occurrence stands $P - 1$ back:
#
# $$
# \text{prefix matching} = \frac{1}{P} \sum_{i=P}^{2P-1} A_{i,\,i-P+1}
# $$ (eq-prefix)
#
# Nothing in random tokens but their order can help, so that a high score is no accident of a text. Each is between 0
# and 1, and a head may have several. **Entropy** and **distance** say how spread its weights are, and how far back they
# go. **Copying** asks another question, of weights alone: does a head raise the logit of the token that it reads? Its
# circuit from embedding to logits is a matrix; the score is the sum of its eigenvalues over the sum of their sizes, from
# −1 to 1 {cite:p}`elhage2021framework`.

# %% tags=["remove-input"]
words.of_map(real)

# %% tags=["remove-input"]
figures.walk(real)

# %% [markdown]
# ## What training makes, and what text makes

# %% tags=["remove-input"]
words.of_controls(real)

# %% tags=["remove-input"]
figures.controls(real)

# %% [markdown]
# ## What they are worth

# %% tags=["remove-input"]
words.of_removed(real)

# %% tags=["remove-input"]
words.read(real)

# %% tags=["remove-input"]
figures.removed(real)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "What we had written of these heads", "code_prompt_hide": "Hide what we had written"} table="Sentences about the heads of SmolLM2-135M, the chance that we gave each before any was taken away, and what came"
written.said(forecasts, real)

# %% [markdown]
# ## How they are born
#
# An induction head needs another one before it. To find where a token came before *and* what followed, it must know of
# every earlier token which one preceded it: a previous-token head in a lower layer tells. So one layer cannot have one.

# %% tags=["remove-input"]
born.late(birth)

# %% tags=["remove-input"]
figures.birth(read.named(birth))

# %% tags=["remove-input"]
born.controls(birth)

# %% tags=["remove-input"]
born.circuit(birth)

# %% tags=["remove-input"] table="Heads of two layers at the end, ordered in each layer by what it does; each taken away alone, its mean in its place. Gain: loss of new tokens less that of known ones. Means of five seeds"
tables.of_birth(birth)

# %% tags=["remove-input"]
born.recipe(birth)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "What we had written of the birth", "code_prompt_hide": "Hide what we had written of the birth"} table="Highest induction score at the end, mean of five seeds: intervals written before the runs, and what came"
written.came(experiment, birth)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "The sentences on the birth", "code_prompt_hide": "Hide the sentences on the birth"} table="Sentences about five seeds that nobody had seen, the chance that we gave each, and what came"
written.said(experiment, birth)

# %% [markdown]
# ## Try it
#
# **1.** In the map, find a head with two functions. On which sentence does it do the one, on which the other?
#
# :::{dropdown} Answer
# Any square whose words name two. In all of these pairs one is the first token: a head that finds nothing to do on a text
# looks there, and {eq}`eq-prefix` asks it on tokens on which it has something to do. So do all eight induction heads.
# :::
#
# **2.** A head scores 0.4 by {eq}`eq-prefix` where $P = 50$ tokens are read twice. What would chance score?
#
# :::{dropdown} Answer
# About 1 in 70: attention spread evenly over the 50 to 100 tokens that can be seen.
# :::
#
# **3.** Why must the control read tokens again in another order, and not new tokens?
#
# :::{dropdown} Answer
# With new tokens nothing can be learned from the sequence at all. In another order the tokens can still be known to
# come again, so that what is missing is the order alone.
# :::
#
# ## The same on your machine
#
# This trains the decoders of two layers and of one layer anew, in half a minute. `python -m relusparsity measure MODEL
# --attention` gives heads, sinks and spikes of a model of your own.

# %% tags=["nbval-ignore-output", "remove-input", "hide-output"] mystnb={"code_prompt_show": "The birth on this machine", "code_prompt_hide": "Hide this machine's birth"}
here = experiment.live(scales.live(scale))
figures.birth(read.named(here))

# %% [markdown]
# ## Claims

# %% tags=["remove-input"]
recorded = {("real_heads", "laptop"): real, (experiment.NAME, "laptop"): birth}
claims.table(claims.evaluate(recorded, rows=claims.for_chapter(19), rules=rows.RULES))

# %% [markdown]
# ## What we cannot say
#
# - **What text does to the birth.** Our decoders read random tokens. On text the heads come among much else that is
#   learned, and Hapax {cite:p}`sahin2025hapax` finds that models trained not to use them still learn in context.
# - **What SmolLM2's makers' own weights do.** The package holds SmolLM2-135M-Instruct, its weights rounded to about four
#   bits.
# - **That a score is a cause.** Row 44 takes heads away; the map does not.
# - **Where the rest of the gain is made.** Five heads carry part of it; we took no other set of that size away by choice.
# - **Encoders.** Heads that look at the next token need one; a decoder has none.
#
# Next: [measure your own model](11_measure_any_model.ipynb), or see [why units die](09_why_units_die.ipynb).
