# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Top-k

# %% tags=["remove-input"]
from relusparsity.chapters.ch13_top_k.short import in_short

in_short()

# %% [markdown]
# *You will learn* what it costs a Transformer to keep a few of its units at each token, whether that helps where labels
# are wrong or pictures are spoilt, and how to ask if a classifier's confidence is what it is worth. *8 minutes to read;
# to run, a minute; the runs shown are of a GPU.*
#
# **Question.** [Chapter 12](12_lazy_neurons.ipynb) found Transformers sparse that nobody asked to be. Li et al.
# {cite:p}`li2023lazy` then ask for it: their Top-k Transformer keeps the k largest entries of each token and drops the
# rest. They report that it costs next to nothing, that it learns better from wrong labels (59.4 → 62.1 % with 40 % of
# the training labels replaced), and that it is better calibrated (error 8.42 → 7.48 %). Is it so in small ones, with both
# sides tuned, and is it more than what dropout does?
#
# **What would falsify it.** Ten pairs of a seed decide. Row 25 of the ledger fails if the 90 % interval of the
# difference in accuracy leaves ± 0.3 points. Row 26 fails if, with 40 % of the labels replaced, the 95 % interval of the
# gain over dense, or over dense with dropout, is not above 0. Row 27 fails if the calibration error, where both are
# equally accurate, is not surely lower, as it is and by temperature.

# Here is what they report, beside ours. Theirs is ViT-B/16 on ImageNet with k = 128 of 3,072 units, a 24th; ours is
# small, and keeps a twelfth. How they average the strengths of a noise we do not know.

# %% tags=["parameters", "remove-input"]
scale = "laptop"

# %% tags=["remove-input"]
from relusparsity import claims, scales, store
from relusparsity.chapters.ch13_top_k import figures, here, read, tables, units, words
from relusparsity.experiments import costs, top_k, top_k_rows, written

top = store.recorded("top_k", "fashion")

# %% tags=["remove-input"]
names = {"top_k_tuning": "fashion", "top_k_sizes": "fashion", "top_k_text": "mid"}
tuning, sizes, text = (read.if_recorded(name, shape) for name, shape in names.items())

# %% tags=["remove-input"] table="What Li et al. report of ImageNet, and ours on small grey pictures: percent right, and the calibration error. Ours are means of the seeds, under noise of the five strengths"
tables.beside_source(top)

# %% [markdown]
# ## What Top-k is
#
# Let $x$ be what a layer's MLP reads at one token, and $p = W_1 x + b_1$ its pre-activations, one for each of the
# layer's $d_\text{ff}$ units. After ReLU, the k largest stay:
#
# $$
# a_i = \begin{cases} \max(p_i, 0) & \text{if } i \in \operatorname{top}_k\big(\max(p, 0)\big) \\ 0 & \text{otherwise}
# \end{cases}
# $$ (eq-top-k)
#
# At each token, in training and when the model is read. Of equally large ones the lower index stays; that order is
# ours. An entry that stays and is 0 does not fire, so k is the most that can. What is cut gets no gradient.

# %% tags=["remove-input"]
words.definition()

# %% [markdown]
# ## How the arms are trained

# %% tags=["remove-input"]
words.recipe(top)

# %% tags=["remove-input"]
words.budget(top)

# %% tags=["remove-input"]
words.or_to_come(words.by_tuning, tuning, "The runs of the tuning are")

# %% tags=["remove-input"] table="How each arm is trained where it is judged: the setting with the highest accuracy on the validation"
tables.settings(top)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "All settings that were tried", "code_prompt_hide": "Hide the settings"} table="Accuracy on the validation at the end, percent, mean of two seeds, by how many labels are replaced; ✓ is chosen"
words.or_to_come(tables.tuned, tuning, "The settings that were tried are")

# %% [markdown]
# ## Quality

# %% tags=["remove-input"]
words.cost(top)

# %% tags=["remove-input"]
words.under_noise(top)

# %% tags=["remove-input"]
figures.quality(read.quality(top))

# %% tags=["remove-input"] table="On the test at the end, mean of the seeds, accuracy with their range. Loss in nats per picture, as it is and with scores divided by the temperature. Units: of all layers together"
tables.quality(top)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "The differences in numbers", "code_prompt_hide": "Hide the differences"} table="Accuracy of Top-k from the others, points, in pairs of a seed; by chance: where 95 % of the means would lie if a coin drew each sign"
tables.differences(top)

# %% tags=["remove-input"]
words.or_to_come(lambda others: units.sizes(others, top), sizes, "Other k are")

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Other k", "code_prompt_hide": "Hide other k"} table="Other k at the settings chosen for d_ff/12, percent, mean of the seeds that all have; dense is k = d_ff"
words.or_to_come(lambda others: tables.sizes(others, top), sizes, "Other k are")

# %% [markdown]
# ## Calibration
#
# A classifier is calibrated if, of the pictures that it is 80 % sure of, 80 % are right. The expected calibration error
# (ECE) sorts pictures into 15 bins $B$ by confidence, and is the mean gap between what is right and how sure the model
# is, over the $n$ pictures:
#
# $$
# \mathrm{ECE} = \sum_B \frac{|B|}{n} \left|\, \mathrm{right}(B) - \mathrm{confidence}(B) \,\right|
# $$ (eq-ece)
#
# Much of a gap can be one number: dividing all scores by a temperature changes no prediction, only how sure the model
# is. So each error is given twice, as it is and by the temperature that fits the validation best. Bins of equal size
# (adaptive ECE) and the Brier score say whether the bins decide it.

# %% tags=["remove-input"]
words.calibration(top)

# %% tags=["remove-input"]
figures.reliability(read.calibrated(top, sizes))

# %% tags=["remove-input"]
words.at_equal_accuracy(top)

# %% tags=["remove-input"] table="Calibration errors, percent, and Brier score (0 to 2) on the test at the end, mean of the seeds, as it is and by temperature"
tables.calibration(top)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Row 27, seed by seed", "code_prompt_hide": "Hide the seeds"} table="Dense and Top-k where their accuracy on the validation is nearest to the smaller of both ends: the step, that accuracy, and ECE on the test, percent"
tables.at_equal_accuracy(top)

# %% [markdown]
# ## Robustness
#
# Nobody trained on spoilt pictures. Noise is drawn once for all models; an attack is made for each model anew, by its
# own gradient.

# %% tags=["remove-input"]
words.robustness(top)

# %% tags=["remove-input"]
figures.robustness(read.robustness(top))

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "The strongest in numbers", "code_prompt_hide": "Hide the numbers"} table="Accuracy on whole pictures, under the strongest noise of each kind and the strongest attacks, percent, and ECE under noise; mean of the seeds"
tables.robustness(top)

# %% [markdown]
# ## Units that are never chosen

# %% tags=["remove-input"]
units.never_chosen(top)

# %% tags=["remove-input"]
units.pattern(top)

# %% tags=["remove-input"]
figures.units(read.used(top))

# %% [markdown]
# ## Language

# %% tags=["remove-input"]
words.or_to_come(units.text, text, "Top-k in the decoder of Part I, on English, is")

# %% [markdown]
# ## What we had written
#
# Intervals and sentences, with the chance that we gave each, stand as they were written before any run on these
# pictures.

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "The intervals", "code_prompt_hide": "Hide the intervals"} table="Accuracy on the test at the end, percent: intervals written before the runs, and what came, mean of the seeds"
written.came(top_k, top, 1)

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "The sentences", "code_prompt_hide": "Hide the sentences"} table="Sentences about the runs, the chance that we gave each before them, and what came"
written.said(top_k, top)

# %% [markdown]
# ## Try it
#
# **1.** By {eq}`eq-top-k`, what does Top-k change at a token where fewer than k pre-activations are above 0?
#
# :::{dropdown} Answer
# Nothing. All that are above 0 stay; what else stays is 0. There Top-k is plain ReLU.
# :::
#
# **2.** A model is 95 % sure of every picture and right on 90 %. What is its ECE, and which way does its temperature go?
#
# :::{dropdown} Answer
# One bin holds all pictures, with a gap of 5 points: 5 %. It is too sure, so its temperature is above 1.
# :::
#
# **3.** Two arms share seeds, and differ by +1, −1, +2 and −2 points. What does the figure's grey bar ask of them?
#
# :::{dropdown} Answer
# How large their mean could be by luck: with signs drawn by a coin. Four pairs are too few for 95 %: the largest mean,
# 1.5 points, comes up in one of eight draws, whichever the sign. From six pairs on there is a bar.
# :::
#
# ## Claims

# %% tags=["remove-input"]
claims.table(claims.evaluate({("top_k", "fashion"): top}, rows=claims.for_chapter(13), rules=top_k_rows.RULES))

# %% [markdown]
# ## What we cannot say
#
# - **What ImageNet would say.** Li et al. train far larger models, on a million colour pictures.
# - **What no clean label would choose.** Settings are chosen by a validation with true labels, for all arms alike.
# - **Which units would be chosen with other wrong labels.** Those that are replaced were drawn once, for all seeds.
# - **That an attack found the worst.** Accuracy under attack is an upper bound of what a stronger one leaves.
#
# ## The same on your machine
#
# `papermill notebooks/13_top_k.py` trains dense and Top-k on small digits, with 40 % of the labels replaced: a quarter
# of a run each, one seed. The digits come by `make models ONLY=digits`. `make record SCALE=fashion ONLY="top_k_tuning"`
# and then `ONLY="top_k top_k_sizes"` train all of the above on a GPU.

# %% tags=["nbval-ignore-output", "remove-input", "hide-output"] mystnb={"code_prompt_show": "Dense and Top-k on this machine", "code_prompt_hide": "Hide this machine's runs"} table="Dense and Top-k on digits with 40 % of the labels replaced, trained by the machine that built this page; one seed, percent"
here.shown(scales.live(scale))

# %% tags=["remove-input", "hide-output"] mystnb={"code_prompt_show": "Runs, minutes and machines", "code_prompt_hide": "Hide the cost"}
recorded = {"Top-k": top, "the tuning": tuning, "other k": sizes, "text": text}
costs.cost({name: each for name, each in recorded.items() if each is not None})

# %% [markdown]
# Next: [sparsity that comes unasked](12_lazy_neurons.ipynb), or [measure your own model](11_measure_any_model.ipynb).
