"""Places of pages that lie in other pages by now; `furniture` leads old links to them."""

MOVED = {
    "chapters/01_model_and_training": {
        "before-any-training": "01_model_and_training.html#before-and-after-training",
        "limits-cost-what-next": "01_model_and_training.html#what-we-cannot-say",
        "on-this-machine": "01_model_and_training.html#the-same-on-your-machine",
        "fig-loss-curves-laptop-default": "01_model_and_training.html#the-same-on-your-machine",
    },
    "chapters/02_layer_patterns": {
        "the-paper-s-figure-1-batch-use-layer-by-layer": "02_layer_patterns.html#which-layers-empty",
        "on-this-machine": "02_layer_patterns.html#the-same-on-your-machine",
    },
    "chapters/04_feature_specificity": {
        "the-wide-models": "04_feature_specificity.html#first-against-last-layer",
        "on-this-machine": "04_feature_specificity.html#the-same-on-your-machine",
        "fig-specificity-on-this-machine": "04_feature_specificity.html#the-same-on-your-machine",
        "limits-cost-what-next": "04_feature_specificity.html#what-we-cannot-say",
    },
    "chapters/06_limits_and_capacity": {
        "where-a-model-empties-sixteen-recipes": "07_which_layer.html#where-a-model-empties-32-recipes",
        "what-each-ingredient-does": "07_which_layer.html#what-each-ingredient-does",
        "the-reading": "07_which_layer.html#what-each-ingredient-does",
        "how-far-to-trust-it": "07_which_layer.html#how-far-to-trust-it",
        "one-ingredient-at-a-time": "07_which_layer.html#one-ingredient-at-a-time",
        "fig-recipes-mid-factorial": "07_which_layer.html#explorable",
        "fig-effects-mid": "07_which_layer.html#fig-effects-mid",
        "fig-recipes-mid-one-ingredient": "07_which_layer.html#fig-recipes-mid-one-ingredient",
        "the-wide-models": "08_two_numbers.html#the-frontier",
        "lower-rate-stronger-decay-longer": "08_two_numbers.html#what-each-lever-exchanges",
        "three-fresh-seeds-of-the-nearest": "08_two_numbers.html#fresh-seeds",
        "one-sum-four-recipes": "08_two_numbers.html#the-runs-before-it",
        "rotary-positions-smaller-sums": "08_two_numbers.html#the-runs-before-it",
        "fig-batch-use-wide-modern": "08_two_numbers.html#the-frontier",
        "fig-batch-use-wide-stronger-decay": "08_two_numbers.html#the-frontier",
        "fig-recipes-wide-equal-decay": "08_two_numbers.html#fig-recipes-wide-equal-decay",
        "fig-recipes-wide-rotary": "08_two_numbers.html#fig-recipes-wide-rotary",
        "in-short": "06_limits_and_capacity.html#trained-longer",
        "on-this-machine": "06_limits_and_capacity.html#the-same-on-your-machine",
        "limits-cost-what-next": "06_limits_and_capacity.html#limits-what-next",
        "fig-batch-use-mid-lr-2": "06_limits_and_capacity.html#fig-batch-use-mid-first",
    },
}
"""Page → its places that have moved, and where each is now, from the page's folder.

A page that moved as a whole leaves a file in `book/moved`.
"""
