# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Layer patterns
#
# **Question.** Which share of its hidden units does each layer of a ReLU Transformer use, and how does that change
# while the model is trained? The paper {cite:p}`wild2024uncovering` reports that the layers of one and the same model
# come apart: in a batch of 8,192 tokens, 13.3 % of the units of the first layer still fire at convergence, and 95.6 %
# of those of the last. On the way there it sees, for layer 0, "a gradual decrease in token-level use followed by
# per-sequence shifts".
#
# **What would falsify it.** Layers that end up alike; a first layer that is not the low one, or a last layer that is
# not the high one; a token use that falls in one jump; a loss of units per sequence that comes first, or in every
# layer alike. The thresholds are rows 1 to 8 of the ledger. They were written before any run, and the verdicts stand
# at the end of this chapter, whatever they are.

# %% tags=["parameters"]
scale = "laptop"

# %%
from relusparsity import claims, plots, results, scales
from relusparsity.experiments import layer_patterns

# %% [markdown]
# ## What is measured
#
# A unit *fires* at a token where its activation is strictly above zero. **Use** is the share of a layer's units that
# fire at least once in a stated window of text $W$:
#
# $$\text{use}_\ell(W) = \frac{1}{d_\text{ff}}\,\bigl|\{\,u : a_{\ell,t,u} > 0 \text{ for some } t \in W\,\}\bigr|$$
#
# The window is always said with the number. *Token use* has a window of one token, *sequence use* of one sequence,
# *batch use* of 8,192 held-out tokens: the paper's window, kept at every scale. Sparsity is one minus use; this book
# speaks of use only. All weights are frozen while the held-out text is read, and every count is an exact integer,
# divided once.
#
# The recorded run is read from the repository. This is what it is:

# %%
recorded = results.recorded("layer_patterns", "laptop")
model, train = (results.provenance(recorded)["config"][part] for part in ("model", "train"))
print({key: model[key] for key in ("n_layers", "d_model", "d_ff", "seq_len")})
print(f"{train['tokens']:,} training tokens, {recorded.sizes['seed']} seeds, {recorded.sizes['step']} measured steps")
print({key: int(recorded.attrs[key]) for key in ("sample_tokens", "final_sample_tokens")})

# %% [markdown]
# ## The paper's Figure 1: batch use, layer by layer
#
# Move the slider through training, and watch which bars sink, in which order, and whether any of them comes back. The
# two ticks are the paper's numbers. They belong to a far wider model on other text, so the heights need not meet them
# here; what to compare is the *shape*: is there a low early layer, and a high last one?

# %%
plots.batch_use(recorded)

# %% [markdown]
# At the end of training batch use is measured once more, in full precision and on far more text. Percent, one row a
# seed, one column a layer:

# %%
(100 * recorded["final_batch_use"].mean("set")).to_pandas().astype(float).round(1)

# %% [markdown]
# Two things to read from this table. Along a row: which layer is lowest, and is it layer 0? Down a column: do the
# seeds agree? Where they lie within a point or two of each other, the pattern belongs to the recipe and not to the
# draw of the initial weights.
#
# A pattern can also be the mark of a model that learned badly, so the loss stands beside it:

# %%
recorded[["final_loss", "final_bits_per_byte", "final_accuracy"]].to_dataframe().astype(float).round(3)

# %% [markdown]
# ## From one token to a batch
#
# Batch use hides how a unit is used: one that fires at every token and one that fires once in 8,192 count the same.
# The three windows together tell them apart. Where token use falls while batch use stays, units become *rarer*, each
# busy with fewer tokens. Where batch use falls too, units go *quiet*. The paper's order of events for layer 0 (first
# the token, then the sequence) can be read from the upper two panels.

# %%
plots.use_over_training(recorded)

# %% [markdown]
# The means over seeds, in percent, before training and after it:

# %%
three = 100 * recorded[["token_use", "sequence_use", "batch_use"]].mean("seed").isel(step=[0, -1])
three.to_array("window").to_series().astype(float).unstack(["window", "step"]).round(1)

# %% [markdown]
# ## Not every token is alike
#
# A mean over tokens may stand for tokens that all use a few units, or for a few tokens that use many. The percentiles
# come from exact histograms of all tokens, with no sampling.

# %%
plots.percentiles(recorded, of="token_use")

# %% [markdown]
# The same over *units* rather than tokens: how often does the median unit fire, and how often do the busiest? A fan
# that opens downwards while its upper edge stays is a layer that divides its work between few busy units and many
# idle ones.

# %%
plots.percentiles(recorded, of="firing_rate")

# %% [markdown]
# Choose a layer to see its units one by one, silent ones apart. Silent means: fired at none of the tokens of this
# sample. Whether such a unit is dead is the next chapter's question.

# %%
plots.layer_to_units(recorded)

# %% [markdown]
# ## How much text does it take?
#
# "13.3 % of the units" is a statement about 8,192 tokens. With more text, more units fire. The curve below goes
# through all windows: its left end is token use, the point at `seq_len` is sequence use, the one at 8,192 batch use.
# If units fired at tokens at random, each at its own rate, the curve would be the dotted one, which follows exactly
# from the firing counts (rarefaction, {cite:p}`hurlbert1971nonconcept`):
#
# $$\text{rarefied use}(n) = \frac{1}{d_\text{ff}}\sum_u \left(1 - \binom{N-k_u}{n}\Big/\binom{N}{n}\right)$$
#
# for a unit that fired $k_u$ times in $N$ tokens. Real text lies below it, since a word that returns in a document
# wakes the same units again.

# %%
plots.window_curves(recorded)

# %% [markdown]
# The gap between the two curves, in percentage points, for one sequence and for one batch (mean over seeds). It is
# the part of a layer's units that would be seen in as much text, were their firings not bunched:

# %%
gap = 100 * (recorded["final_rarefied_use"] - recorded["final_window_use"]).mean("seed")
gap.sel(window=[model["seq_len"], 8192]).to_pandas().astype(float).round(1)

# %% [markdown]
# ## Where in the sequence?
#
# The first tokens of a sequence have little or no context to look back on, so the deeper layers see something there
# that they see nowhere else.

# %%
plots.use_by_position(recorded)

# %% [markdown]
# ## On this machine
#
# Everything above is recorded data. The same experiment, run here (or read back, if it has run before):

# %% tags=["nbval-ignore-output"]
live_scale = scales.live(scale)
here = layer_patterns.run(layer_patterns.config(live_scale))
plots.batch_use(recorded, here)

# %% [markdown]
# Another processor rounds differently, and training amplifies this: the curves of a seed part after some hundred
# steps. The pattern across layers should not.
#
# ## Claims
#
# The rows of the ledger that this chapter decides, on the recorded runs. P, S and L are the scales at which a rule
# was written; the laptop's numbers stand beside the rules of P and S without a verdict, because a small model may
# mislead, which is itself row 14 (chapter 6).

# %%
claims.table(claims.evaluate({("layer_patterns", "laptop"): recorded}, rows=claims.for_chapter(2)))

# %% [markdown]
# The same rows read from the run of this machine:

# %% tags=["nbval-ignore-output"]
own = claims.evaluate({}, {("layer_patterns", live_scale): here}, rows=claims.for_chapter(2))
claims.table([outcome for outcome in own if outcome.here])

# %% [markdown]
# ## Limits, cost, what next
#
# - **One recipe.** Optimiser, learning rate, weight decay and the scale of the embeddings decide how much of a layer
#   empties, and which layer it is. Chapter 6 changes the recipe; nothing here speaks for "the" ReLU Transformer.
# - **Short training.** Use is still moving at the end of the run. The rows that speak of convergence are judged at
#   scale P only.
# - **Attention crosses documents** that share a packed sequence, and sequences are short at this scale, so sequence
#   use cannot be compared across scales; batch use can, because its window is stated in tokens.
# - **The text** is documentation of Python packages: real, but narrow. A unit that is idle here may be at work on
#   other text; chapter 3 looks at domains.
#
# What the recorded runs cost:

# %%
print(results.provenance(recorded)["environment"]["device"])
print("wall seconds, one a seed:", results.provenance(recorded)["wall_seconds"])

# %% [markdown]
# Next: the units that stopped firing. Which ones, when, and for good?
