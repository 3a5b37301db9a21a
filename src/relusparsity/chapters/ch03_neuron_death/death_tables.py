"""Names, units and meanings of what chapter 03 adds to the runs' own coordinates and variables."""

# name: (dims after `seed`, units, long name)
ADDED: dict[str, tuple[tuple[str, ...], str, str]] = {
    "survival": (("layer", "tokens_grid"), "1", "share of units that have not yet died (missing: not yet known)"),
    "dead_count": (("layer",), "units", "units dead at the end of training"),
    "dead_and_silent_count": (("layer",), "units", "units dead at the end and silent in both held-out samples"),
    "death_share_by_rate": (
        ("measured_at", "layer", "rate_quarter"),
        "1",
        "share of the followed units that die later, by quarter of their firing rate in their layer",
    ),
    "fate_median": (("layer", "fate", "quantity"), "as the quantity", "median over the followed units at the end"),
    "silent_small": (("layer",), "units", "units silent in the small held-out sample"),
    "silent_both": (("layer",), "units", "units silent in the small and in the large held-out sample"),
    "silent_both_bootstrap": (("layer", "level"), "units", "silent_both with the large sample's documents redrawn"),
    "good_turing_expected": (
        ("layer",),
        "units",
        "silent_both units expected to fire in a second large sample (Good–Turing, sequences as draws)",
    ),
    "good_turing_upper": (("layer",), "units", "upper 95 % bound of good_turing_expected"),
    "good_turing_documents": (("layer",), "units", "good_turing_expected with documents as draws"),
    "woken_observed": (
        ("layer", "level"),
        "units",
        "units silent in the small sample and a random half of the documents that fire in the other half",
    ),
    "woken_expected": (("layer", "level"), "units", "the same, forecast from the first half (Good–Turing)"),
    "domain_silent_units": (
        ("layer", "silent_on", "fires_on"),
        "units",
        "units silent on a sample of one domain that fire on one of another (same domain: on its second sample)",
    ),
}
COORDINATES = {
    "tokens_grid": ("tokens", "training tokens seen"),
    "measured_at": ("1", "when the firing rate was measured"),
    "rate_quarter": ("1", "quarter of the layer's units by firing rate, rarest first"),
    "fate": ("1", "state of the unit after the last step"),
    "quantity": ("1", "name of the unit's measured quantity"),
    "level": ("%", "percentile over random draws of documents"),
    "silent_on": ("1", "domain of held-out text on which units are silent"),
    "fires_on": ("1", "domain of held-out text on which they fire"),
}
