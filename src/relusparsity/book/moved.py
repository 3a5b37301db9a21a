"""Places of pages that lie in other pages by now; `furniture` leads old links to them."""

MOVED = {
    "chapters/03_neuron_death": {
        "who-dies-when": "03_neuron_death.html#who-dies-and-when",
        "the-wide-models": "03_neuron_death.html#who-dies-and-when",
        "fig-death-onsets-laptop-default": "03_neuron_death.html#who-dies-and-when",
        "fig-survival-laptop-default": "03_neuron_death.html#who-dies-and-when",
        "is-it-written-at-the-start": "03_neuron_death.html#can-early-firing-predict-death",
        "fig-deaths-and-revivals-laptop-default": "03_neuron_death.html#who-comes-back",
        "what-happens-to-a-unit-before-it-dies": "03_neuron_death.html#before-a-unit-dies",
        "fig-drift-before-death-laptop-default": "03_neuron_death.html#before-a-unit-dies",
        "silent-against-dead-and-what-chance-explains": "03_neuron_death.html#silent-or-rare",
        "the-mid-models": "03_neuron_death.html#silent-or-rare",
        "fig-silent-vs-dead-mid-first": "03_neuron_death.html#silent-or-rare",
        "fig-silent-vs-dead-wide-nearest": "03_neuron_death.html#silent-or-rare",
        "fig-silent-vs-dead-laptop-default": "03_neuron_death.html#silent-or-rare",
        "is-the-forecast-any-good": "03_neuron_death.html#another-kind-of-text",
        "dead-on-one-domain-alive-on-another": "03_neuron_death.html#another-kind-of-text",
        "fig-domains-laptop-default": "03_neuron_death.html#another-kind-of-text",
        "silence-is-death-here": "03_neuron_death.html#why-wide-cannot-decide-it",
        "on-this-machine": "03_neuron_death.html#the-same-on-your-machine",
        "fig-dead-over-training-laptop-default": "03_neuron_death.html#the-same-on-your-machine",
        "limits-cost-what-next": "03_neuron_death.html#what-we-cannot-say",
    },
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
