"""Names, units and meanings of the coordinates and variables that a training run records, or several rooms write."""

LAYER = "layer of the decoder, from 0"
COORDINATES = {
    "seed": ("1", "seed of weights and data order"),
    "step": ("optimiser steps", "steps taken when measured"),
    "tokens": ("tokens", "training tokens seen when measured"),
    "layer": ("1", LAYER),
    "percentile": ("%", "percentile (inverted CDF)"),
    "window": ("tokens", "window size n"),
    "position": ("tokens", "position in the sequence, from 0"),
    "set": ("1", "held-out set, in recorded order"),
    "unit": ("1", "hidden unit of the layer, from 0"),
    "history_step": ("optimiser steps", "steps taken when the drift was measured"),
    "history_tokens": ("tokens", "training tokens seen when the drift was measured"),
    "history_unit": ("1", "hidden units chosen before the run"),
    "scaling": ("1", "whether scores are divided by the temperature, or taken as they are"),
    "bin": ("1", "bin of confidence, of one width, from the lowest"),
    "corruption": ("1", "kind of noise put on the test pictures"),
    "strength": ("1", "strength of the noise, from 1"),
    "attack": ("1", "how the test pictures are changed against the model"),
    "epsilon": ("1/255", "largest change of a pixel"),
}

# name: (dims at one measured step, units, long name)
MEASURED = {
    "batch_use": (("layer",), "1", "mean share of units that fire in 8,192 held-out tokens"),
    "token_use": (("layer",), "1", "mean share of units that fire at one held-out token"),
    "sequence_use": (("layer",), "1", "mean share of units that fire in one held-out sequence"),
    "token_use_percentiles": (("layer", "percentile"), "1", "percentiles of token use over tokens"),
    "sequence_use_percentiles": (("layer", "percentile"), "1", "percentiles of sequence use over sequences"),
    "firing_rate_percentiles": (("layer", "percentile"), "1", "percentiles of firing rate over units"),
    "window_use": (("layer", "window"), "1", "mean share of units that fire in a window of n tokens"),
    "rarefied_use": (("layer", "window"), "1", "expected share of units that fire in n tokens drawn at random"),
    "silent_units": (("layer",), "units", "units that fired at no token of the measured sample"),
    "gamma": (("layer",), "1", "norm of the mean of the MLP's input over the norm of its spread"),
    "heldout_loss": ((), "nats/token", "cross-entropy on held-out text"),
    "heldout_bits_per_byte": ((), "bits/byte", "cross-entropy on held-out text"),
    "heldout_accuracy": ((), "1", "share of held-out tokens predicted first"),
    "train_loss": ((), "nats/token", "mean training loss since the last measurement"),
    "train_token_use": (("layer",), "1", "mean token use in the training stream since the last measurement"),
    "train_sequence_use": (("layer",), "1", "mean sequence use in the training stream since the last measurement"),
    "dead_units": (("layer",), "units", "units without a firing in the last n training tokens"),
    "deaths": (("layer",), "units", "deaths confirmed since the last measurement"),
    "revivals": (("layer",), "units", "dead units that fired again since the last measurement"),
}

# name: (dims at one history step, units, long name)
HISTORY = {
    "preactivation_mean": (("layer", "history_unit"), "1", "mean pre-activation"),
    "preactivation_std": (("layer", "history_unit"), "1", "standard deviation of the pre-activation"),
    "preactivation_p99": (("layer", "history_unit"), "1", "99th percentile of the pre-activation"),
    "preactivation_max": (("layer", "history_unit"), "1", "largest pre-activation"),
    "history_firing_rate": (("layer", "history_unit"), "1", "share of tokens at which the unit fires"),
    "input_weight_norm": (("layer", "history_unit"), "1", "norm of the unit's input weights"),
    "output_weight_norm": (("layer", "history_unit"), "1", "norm of the unit's output weights"),
    "input_bias": (("layer", "history_unit"), "1", "the unit's bias (0 without biases)"),
    "input_alignment": (("layer", "history_unit"), "1", "cosine of input weights and mean MLP input"),
}

# name: (dims, units, long name), measured once after the last step, in float32
FINAL = {
    "final_batch_use": (("set", "layer"), "1", "share of units that fire in one set of 8,192 held-out tokens"),
    "final_token_use": (("layer",), "1", "mean share of units that fire at one held-out token"),
    "final_sequence_use": (("layer",), "1", "mean share of units that fire in one held-out sequence"),
    "final_window_use": (("layer", "window"), "1", "mean share of units that fire in a window of n tokens"),
    "final_rarefied_use": (("layer", "window"), "1", "expected share of units that fire in n tokens drawn at random"),
    "position_use": (("layer", "position"), "1", "mean share of units that fire at a position"),
    "final_firing_count": (("layer", "unit"), "tokens", "held-out tokens at which the unit fires"),
    "final_sequences_fired": (("layer", "unit"), "sequences", "held-out sequences in which the unit fires"),
    "last_fired": (("layer", "unit"), "tokens", "position in the training stream of the last firing (0: never)"),
    "death_onset": (("layer", "unit"), "tokens", "last firing before the first death (missing: never dead)"),
    "death_count": (("layer", "unit"), "1", "deaths of the unit in training"),
    "revival_count": (("layer", "unit"), "1", "revivals of the unit in training"),
    "final_loss": ((), "nats/token", "cross-entropy on the final held-out sets"),
    "final_bits_per_byte": ((), "bits/byte", "cross-entropy on the final held-out sets"),
    "final_accuracy": ((), "1", "share of tokens of the final held-out sets predicted first"),
}

OF_TEXT = ("heldout_bits_per_byte", "final_bits_per_byte")
"""What a run that does not predict a text, all of it, has not."""

# name: (units, long name), of a run of pictures, whose patches are its tokens
OF_PICTURES = {
    "layer": ("1", "layer of the vision Transformer, from 0"),
    "heldout_loss": ("nats/picture", "cross-entropy on validation pictures"),
    "heldout_accuracy": ("1", "share of validation pictures whose class is predicted first"),
    "train_loss": ("nats/picture", "mean training loss since the last measurement"),
    "final_loss": ("nats/picture", "cross-entropy on test pictures"),
    "final_accuracy": ("1", "share of test pictures whose class is predicted first"),
}

# name: (units, long name), of a run of text with spans cut out, which an encoder-decoder reads
OF_SPANS = {
    "layer": ("1", "layer of hidden units, the encoder's from 0, then the decoder's"),
    "tokens": ("tokens", "training tokens that the encoder had read when measured"),
    "history_tokens": ("tokens", "training tokens that the encoder had read when the drift was measured"),
    "window": ("tokens", "window size n in the encoder; window_tokens has it in each layer's own tokens"),
    "batch_use": ("1", "mean share of units that fire in one set of held-out sequences"),
    "final_batch_use": ("1", "share of units that fire in one set of held-out sequences"),
    "heldout_loss": ("nats/token", "cross-entropy on the targets of held-out text"),
    "heldout_accuracy": ("1", "share of the targets of held-out text predicted first"),
    "train_loss": ("nats/token", "mean training loss on targets since the last measurement"),
    "final_loss": ("nats/token", "cross-entropy on the targets of the final held-out sets"),
    "final_accuracy": ("1", "share of the targets of the final held-out sets predicted first"),
    "dead_units": ("units", "units without a firing in the last n training tokens of their own layer"),
    "last_fired": ("tokens", "training tokens that the encoder had read after the last firing (0: never)"),
    "death_onset": (
        "tokens",
        "training tokens that the encoder had read after the last firing before the first death (missing: never dead)",
    ),
}

# name: (dims, units, long name), where the layers are of several stacks
STACKED = {
    "layer_name": (("layer",), "1", "what the layer is called"),
    "layer_positions": (("layer",), "tokens", "the layer's own tokens of one sequence"),
    "window_tokens": (("layer", "window"), "tokens", "window size in the layer's own tokens (missing: no such window)"),
}

# name: (dims, units, long name), in forks alone, or where a field asks for it
ASKED_FOR = {
    "earlier_firing_count": (
        ("layer", "unit"),
        "tokens",
        "tokens of the final held-out sets at which the unit fires, read some steps before the end",
    ),
    "fork_firing_count": (
        ("layer", "unit"),
        "tokens",
        "tokens of the final held-out sets at which the unit fires, read at the fork",
    ),
    "fork_last_fired": (
        ("layer", "unit"),
        "tokens",
        "position in the training stream of the last firing before the fork (0: never)",
    ),
    "silent_steps": (("silent_steps",), "optimiser steps", "least steps without a firing of a bin, until the next one"),
    "silent_at_risk": (
        ("layer", "silent_steps"),
        "1",
        "unit-steps since the fork that began after so many steps without a firing",
    ),
    "silent_fired": (("layer", "silent_steps"), "1", "of these, the unit-steps in which the unit fired"),
    "width": (("step", "layer"), "units", "hidden units that the layer has"),
    "removed_at": (
        ("layer", "unit"),
        "tokens",
        "training tokens after which the unit was removed (missing: never, or none stands there)",
    ),
}

# name: (dims, units, long name), of a run with a control on updates
CONTROL = {
    "treated": (("layer", "unit"), "1", "whether the unit's updates are under the control"),
    "path_length": (
        ("layer", "unit"),
        "1",
        "lengths of the unit's data-driven updates, summed over the control's steps",
    ),
    "path_length_given": (("layer", "unit"), "1", "the same sum of what the optimiser gave, before the control"),
}

# name: (dims, units, long name), of one that follows falls
FALLS = {
    "falls": (
        ("layer", "unit"),
        "1",
        "falling first-order changes of the unit's high quantile by its data-driven updates, added up",
    ),
    "rises": (("layer", "unit"), "1", "the same sum of the rising ones"),
    "largest_falls": (
        ("layer", "unit"),
        "1",
        "of the falls, those in the largest 1 % of the steps up to the unit's last firing (missing: it never fired)",
    ),
}

# name: (dims at one measured step, units, long name), of a run of pictures whose predictions are judged
PREDICTED = {
    "temperature": ((), "1", "what scores are divided by to fit the validation pictures best"),
    "test_accuracy": ((), "1", "share of all test pictures whose class is predicted first"),
    "test_loss": (("scaling",), "nats/picture", "cross-entropy on all test pictures"),
    "test_brier": (("scaling",), "1", "Brier score over all classes, from 0 to 2, of all test pictures"),
    "test_adaptive_error": (("scaling",), "1", "calibration error of all test pictures in 15 equally full bins"),
    "bin_pictures": (("scaling", "bin"), "pictures", "test pictures of the bin"),
    "bin_confidence": (("scaling", "bin"), "pictures", "confidence, summed over the test pictures of the bin"),
    "bin_correct": (("scaling", "bin"), "pictures", "test pictures of the bin whose class is predicted first"),
}

# name: (dims, units, long name), of such a run, measured once after the last step
PREDICTED_AT_THE_END = {
    "corrupted_accuracy": (("corruption", "strength"), "1", "share of noisy test pictures right"),
    "corrupted_error": (
        ("scaling", "corruption", "strength"),
        "1",
        "expected calibration error of noisy test pictures, the temperature that of the validation as it is",
    ),
    "attacked_accuracy": (("attack", "epsilon"), "1", "share of the first 2,048 test pictures right under attack"),
    "unattacked_accuracy": ((), "1", "share of the same pictures right as they are"),
}

UNITS = COORDINATES | {
    name: (units, text)
    for table in (
        MEASURED,
        HISTORY,
        FINAL,
        ASKED_FOR,
        CONTROL,
        FALLS,
        STACKED,
        PREDICTED,
        PREDICTED_AT_THE_END,
    )
    for name, (_, units, text) in table.items()
}

# name: (dims, units, long name), of the chapter on specificity and of any measured model
SPECIFICITY: dict[str, tuple[tuple[str, ...], str, str]] = {
    "firing_count": (("seed", "layer", "unit"), "tokens", "held-out tokens at which the unit fires"),
    "within_sequence_rate": (
        ("seed", "layer", "unit"),
        "1",
        "share of a sequence's tokens at which the unit fires, given that it fires there",
    ),
    "within_sequence_rate_random": (("seed", "layer", "unit"), "1", "the same for as many firings on random tokens"),
    "token_selectivity": (
        ("seed", "layer", "unit"),
        "1",
        "1 − entropy of the firings over token types / that of as many firings on random tokens",
    ),
    "top_type_share": (("seed", "layer"), "1", "median over units of the share of firings on the commonest token type"),
    "example_layer": (("example",), "1", "layer of the chosen unit"),
    "example_unit": (("example",), "1", "the chosen unit"),
    "example_rule": (("example",), "1", "why this unit was chosen"),
    "example_types": (("example",), "1", "token types the unit fires on most often, as shares of its firings"),
    "example_text": (("example", "rank"), "1", "strongest activations in context, at most one a sequence"),
    "example_activation": (("example", "rank"), "1", "the activation at the marked token"),
    "rank": (("rank",), "1", "from the strongest activation"),
}

# name: (units, long name), of the chapter on pruning and of any measured model
REMOVAL = COORDINATES | {
    "chosen_by": ("1", "which units go first: lowest firing rate, smallest weights, or at random"),
    "share": ("1", "share of all hidden units removed"),
    "evaluation": ("1", "held-out text, disjoint from the one that the units were chosen on"),
    "loss": ("nats/token", "cross-entropy after removing units"),
    "bits_per_byte": ("bits/byte", "cross-entropy after removing units"),
    "accuracy": ("1", "share of tokens predicted first, after removing units"),
    "units_left": ("units", "units left in the layer"),
    "baseline_loss": ("nats/token", "cross-entropy of the whole model"),
    "baseline_bits_per_byte": ("bits/byte", "cross-entropy of the whole model"),
    "baseline_accuracy": ("1", "share of tokens predicted first by the whole model"),
    "silent_loss": ("nats/token", "cross-entropy after removing the silent units"),
    "silent_removed": ("units", "units silent on the sample that the units were chosen on"),
    "masked_difference": ("1", "largest change of a logit when units silent on that text are masked"),
    "removed_difference": ("1", "largest change of a logit when units silent on that text are removed physically"),
    "drawn": ("1", "lowest rate with ties at random, as many at random of the same layers, or uniform over all units"),
    "drawn_share": ("1", "share of all hidden units removed"),
    "drawn_loss": ("nats/token", "cross-entropy after removing units, mean over draws"),
    "drawn_units_left": ("units", "units left in the layer, mean over draws"),
    "beyond_loss": ("nats/token", "cross-entropy without the silent units and half of the rest, every draw"),
    "beyond_removed": ("units", "silent units and half of the rest, all layers"),
}

# How variables hang together, which `packing` makes use of; a file says itself what was done, so rows may change.

STEADY = ("history_step", "step", "position", "set", "percentile")
"""Dimensions along which values change little, those that say more about them first."""

# name: a variable that orders it; where that has few values or none, so has this one
ORDER = {
    "within_sequence_rate": "firing_count",
    "within_sequence_rate_random": "firing_count",
    "token_selectivity": "firing_count",
    "final_sequences_fired": "final_firing_count",
    "earlier_firing_count": "final_firing_count",
    "death_onset": "death_count",
    "revival_count": "death_count",
}

# name: (variables with factors whose sum is near to it, the dimension at one place of which it is the variable itself)
NEAR: dict[str, tuple[dict[str, float], str | None]] = {
    "token_use": ({"window_use": 1}, "window"),
    "sequence_use": ({"window_use": 1}, "window"),
    "batch_use": ({"window_use": 1}, "window"),
    "final_token_use": ({"final_window_use": 1}, "window"),
    "final_sequence_use": ({"final_window_use": 1}, "window"),
    "rarefied_use": ({"window_use": 1}, None),
    "final_rarefied_use": ({"final_window_use": 1}, None),
    "within_sequence_rate": ({"within_sequence_rate_random": 1}, None),
    "preactivation_std": ({"input_weight_norm": 1}, None),
    "preactivation_p99": ({"preactivation_mean": 1, "preactivation_std": 2.326}, None),
}
