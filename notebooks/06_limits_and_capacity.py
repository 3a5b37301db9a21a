# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Limits and capacity

# %% tags=["remove-input"]
from relusparsity.chapters.ch06_limits_and_capacity.short import in_short

in_short()

# %% [markdown]
# *You will learn* what longer training, more units and a wider residual stream change, and what a small model cannot
# show. *9 minutes to read, 4 to run.*
#
# **Questions.** How far do layers empty in longer and in wider training? And what does size decide: would a layer that
# leaves most of its units idle, given fewer, use the *same number* or the *same share*? A summary of Wild and Anderson's
# work {cite:p}`wild2024uncovering` speaks of the "limitations of small-ReLU models".
#
# **What would falsify our answers.** That length empties layer 0 falls if longer runs leave it where short ones do. That
# units go on being used falls with a layer whose number of used units stops growing. That small models mislead falls if
# their layers stand in the order of large ones: <a href="../ledger.html#row-14">row 14 of the ledger</a> compares the
# orders by a rank correlation, Kendall's τ, with a threshold of 0.6 written before any run.

# %% tags=["parameters"]
scale = "laptop"

# %% tags=["remove-input"]
from relusparsity import claims, plots, scales, store
from relusparsity.chapters.ch06_limits_and_capacity import experiment, figures, tables, words

# %% tags=["remove-input"]
long, repeated, mid, streams = (
    store.recorded(name, "mid") for name in ("longer", "repetition", "layer_patterns", "residual_stream")
)
widths, small = store.recorded("capacity", "mid"), store.recorded("capacity", "laptop")
wider = store.recorded("residual_stream", "wide")

# %% [markdown]
# Our models are **Wide** (6 layers of 32,768 units), **Mid** (6 × 8,192) and **Laptop** (6 × 1,024). *Batch use* is the
# share of a layer's units that fire in a batch of 8,192 held-out tokens. The recipe *first* has tied embeddings of standard
# deviation 0.02, Xavier matrices, learned positions, a rate of 6e-4 and weight decay 1; *base* is *first* at half that
# rate. **Only *first* in Mid and Laptop have several seeds; the rest is one seed each, and exploration.**
#
# ## Trained longer

# %% tags=["remove-input"]
words.longer(long, mid)

# %% tags=["remove-input"]
plots.batch_use(tables.named(long).sel(recipe="first"))

# %% [markdown]
# Four recipes in Mid trained for five times the tokens; which four was decided after the short runs. With *large
# embeddings* a pilot run had emptied layer 0; here layers 1 to 3 empty instead. *Modern* (RMSNorm, rotary positions, no
# biases, normal matrices, decay 0.1) keeps layer 0 full.

# %% tags=["remove-input"] table="Batch use (percent) and loss after a longer training. Mid"
tables.by_recipe(long)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "The four recipes over training", "code_prompt_hide": "Hide the figure"}
plots.recipes(tables.named(long), name="longer")

# %% tags=["remove-input"]
words.same_tokens(long, mid)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "First after three lengths of training", "code_prompt_hide": "Hide the lengths"} table="First after three lengths of training. Mid"
tables.by_tokens(mid, repeated, long)

# %% tags=["remove-input"]
words.again(repeated)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "The control, layer by layer", "code_prompt_hide": "Hide the control"} table="Batch use (percent) and loss of the control, text read again. Mid"
tables.by_recipe(repeated)

# %% [markdown]
# Longer runs of Wide, and the recipes that were tried there, are [chapter 8](08_two_numbers.ipynb)'s.
#
# ## Does the number of used units saturate?

# %% tags=["remove-input"]
words.grown(widths)

# %% [markdown]
# The models below differ in $d_\text{ff}$, the number of hidden units of every layer, and in nothing else. **Used units**
# are those that fire at least once in 8,192 held-out tokens,
#
# $$\text{used}_\ell = U_\ell \, d_\text{ff}$$ (eq-used)
#
# with $U_\ell$ the batch use of layer $\ell$: a count. On the dotted line every unit is used; a curve parallel to
# it uses a fixed share; a curve that turns flat has found all the units that it can use. Look at the layers one by one.

# %% tags=["remove-input"]
figures.width(widths)

# %% [markdown]
# By what the number of used units multiplies when the width doubles, in the one seed that ran at every width. Two is a fixed
# share, one is saturation. The last row is the yardstick, what changing only the seed does. (The figure draws means of the
# seeds.)

# %% tags=["remove-input"] table="By how much the used units multiply when the width doubles. Mid's stream, one seed"
tables.growth(widths)

# %% tags=["remove-input"]
words.paid(widths)

# %% [markdown]
# Layers 1 and 2 follow no rule that one seed could show: their counts jump between widths by as much as between seeds. All
# widths have one learning rate; the best one may shift with the width.

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "The loss at each width, read while training", "code_prompt_hide": "Hide the loss"} table="Held-out loss at each width, read while training. Mid's stream"
tables.losses(widths)

# %% [markdown]
# ## A wider residual stream
#
# **Neither reading that we wrote down holds.** Is a layer 5 that empties merely too wide for its stream? If it goes by its
# units *per number of the stream*, four models of Mid keep the first shares below; if by the *units alone*, the second.
# Each was to come within five points.

# %% tags=["remove-input"] table="Layer 5's batch use on other streams: what each reading predicted, and what came"
tables.readings(streams)

# %% tags=["remove-input"]
words.stream(wider)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Mid on streams of 256, 512 and 1,024", "code_prompt_hide": "Hide the figure"}
plots.recipes(streams, name="residual-stream")

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Wide on streams of 1,024 and 1,536", "code_prompt_hide": "Hide the figure"}
plots.recipes(wider, name="residual-stream")

# %% [markdown]
# The heads keep their size; the rate is the recipe's, not scaled with the stream; Xavier's entries are smaller on a wider
# stream. Wide on streams of 512 and 2,048 by this recipe, and 32,768 units on 1,024 with *first* and 49 million tokens, had
# predictions too and were not run.

# %% tags=["remove-input"]
words.repeated(streams, mid)

# %% [markdown]
# ## What a small ReLU model cannot show
#
# - **Which layer collapses.** With a narrow residual stream every layer sees much the same input. Row 14 below says
#   whether the orders agree, not why.
# - **Rare units.** A unit that fires once in a million tokens is invisible to a batch of 8,192 tokens. The Wide models hold
#   hardly any ([chapter 5](05_pruning.ipynb)); whether another would is open.
# - **The end of training.** Whether use has settled cannot be seen in minutes; five times as many tokens changed the
#   picture above.
# - **Fine shares.** A unit of Laptop is a tenth of a point of use; one of Wide three thousandths.
#
# What it *can* show is cheap: whether the layers come apart at all, whether that happens under training and not before,
# and how far the seed decides it.
#
# ## For anyone who quotes "the sparsity of ReLU Transformers"
#
# A number without its recipe is a number about one recipe, and one without its training tokens is a number about one
# moment. "The first layer" of one report need not be the first layer of another. Quote the layer with the embedding scale,
# the positions and the place of the norm, and the share with weight decay, learning rate, initial matrices, widths, steps
# and training tokens.
#
# One theory of why units die meets these runs. Weight drift {cite:p}`shvetsov2026bug` proves that standard losses push
# weights behind positive activations negative early in training. All recipes here share one loss function, so they cannot
# test it; but what they have in common cannot explain in which layer they differ.
#
# ## Try it
#
# **1.** In the figure of widths, which layer goes from full to emptier than layer 0 on the way up?
#
# :::{dropdown} Answer
# Layer 5: all of its 512 units are in use in the narrowest models, and 65 % of 32,768; layer 0 ends above it.
# :::
#
# **2.** Your machine trains Laptop at four widths below. By what does the number of used units multiply from one to the
# next?
#
# :::{dropdown} How to see
# `papermill notebooks/06_limits_and_capacity.py`, then the growth table of the last section. Recorded, it is 1.6 to 2.1: no
# layer of Laptop saturates.
# :::
#
# ## The same on your machine
#
# Laptop, recorded and run here:

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Laptop, as recorded: used units, growth and loss by width", "code_prompt_hide": "Hide Laptop"}
figures.width(small)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Laptop, as recorded: growth per doubling", "code_prompt_hide": "Hide the growth"} table="By how much the used units multiply when the width doubles. Laptop, recorded"
tables.growth(small)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Laptop, as recorded: loss, and units that fire at a single token, layer by layer", "code_prompt_hide": "Hide the widths"} table="Loss, and token use of each layer, at each width. Laptop, recorded"
tables.by_width(small)

# %% tags=["nbval-ignore-output", "hide-output"] mystnb={"code_prompt_show": "This machine's four widths", "code_prompt_hide": "Hide the runs"}
here = experiment.run(experiment.config(scales.live(scale)))
figures.width(plots.on_this_machine(here))

# %% [markdown]
# ## Claims
#
# Row 14 compares the order of the layers in Laptop with that in Wide. Recipes and texts differ too, and a random order of
# six layers passes the threshold nearly always, so the row cannot say that size alone misleads; row 14b is to change size
# alone.

# %% tags=["remove-input"]
patterns = {("layer_patterns", name): store.recorded("layer_patterns", name) for name in ("laptop", "wide")}
claims.table(claims.evaluate(patterns, rows=claims.for_chapter(6)))

# %% [markdown]
# ## Limits, what next
#
# - **One seed** everywhere but in *first* in Mid (five) and Laptop (three). A difference close to its yardstick is no
#   finding.
# - **Equal tokens, not equal compute.** A wide model may be trained less well than it could be.
# - **Six layers.** Their number is capacity too, and was never varied.
#
# Next: [which layer empties](07_which_layer.ipynb).
