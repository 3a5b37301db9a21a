"""What a measurement found, and how its rule was made, in words."""

import re
from collections.abc import Mapping

import xarray as xr


def found(name: str, data: xr.Dataset) -> str:
    """What a report opens with: how many units fire at a token, least and most of a layer, and how many nowhere.

    Parameters
    ----------
    name
        What stands before the sentences.
    data
        Of one model: `final_token_use`, `silent_units` (seed, layer), `final_firing_count` (seed, layer, unit);
        attribute `final_sample_tokens`.
    """
    use = 100 * data["final_token_use"].values[0]
    silent, tokens = int(data["silent_units"].sum()), int(data.attrs["final_sample_tokens"])
    least, most = int(use.argmin()), int(use.argmax())
    ends = f"from {use[least]:.1f} % (layer {least}) to {use[most]:.1f} % (layer {most})"
    units = data["final_firing_count"].size
    nowhere = f"{silent:,} of {units:,} units fired at none of {tokens:,} tokens"
    everywhere = f"Each of {units:,} units fired somewhere in {tokens:,} tokens"
    return f"{name}At a token, {ends} of a layer's units fire. {nowhere if silent else everywhere}."


def rule_facts(facts: Mapping[str, float]) -> str:
    """Facts of a rule in brackets; those of single layers, such as cett_0 and cett_1, as one, from least to most.

    >>> rule_facts({"epsilon": 0.1}), rule_facts({"cett_0": 0.19, "cett_1": 0.2})
    (' (epsilon 0.1)', ' (cett by layer 0.19 to 0.2)')
    """
    several: dict[str, list[float]] = {}
    for name, value in facts.items():
        several.setdefault(re.sub(r"_\d+$", " by layer", name), []).append(value)
    some = []
    for name, values in several.items():
        ends = dict.fromkeys(f"{value:.4g}" for value in (min(values), max(values)))
        some.append(f"{name} {' to '.join(ends)}")
    return f" ({', '.join(some)})" if some else ""
