"""Thresholds for activations that are never quite zero, by stated rules, from histograms of a calibration text."""

import math
import sys
from collections.abc import Sequence
from decimal import Decimal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import UserError
from .attach import Choice, Side
from .magnitudes import INFINITE, Batches, Magnitudes, run, upper_edge
from .magnitudes import bins as bins
from .rules import Rule, between, short
from .tails import Ladders, TailErrors
from .zeroed import Zeroed

STEPS = 6  # halvings of the bracket for a given loss


def quantile(
    model: nn.Module, batches: Batches, share: float, choose: Choice | None = None, of: Side = "output"
) -> Rule:
    """In each layer, the `share` of its activations that are smallest in magnitude do not count as firing.

    Parameters
    ----------
    batches
        Keyword arguments of forward calls, each a batch of the calibration text.
    share
        Between 0 and 1; reached up to the width of a bin: `facts` holds each layer's true share.
    choose, of
        The layers and their side, as `track` has them; the rule is for these.

    Raises
    ------
    UserError
        If the share is not between 0 and 1, or a layer has no such quantile on this text.
    """
    share = between(share, 0, 1, "share", "a share of the activations between 0 and 1")
    watch = run(Magnitudes(model, choose, of), batches)
    thresholds, facts = [], {}
    for layer, counts in enumerate(watch.counts()):
        below = np.cumsum(counts)
        at = int(np.searchsorted(below, share * below[-1]))
        if at >= INFINITE:
            raise UserError(
                f"{watch.places[layer].name}: activations are infinite; lower the share, or raise precision."
            )
        thresholds.append(upper_edge(at))
        facts[f"share_below_{layer}"] = float(below[at] / below[-1])
    percent = f"{(100 * Decimal(repr(share))).normalize():f}"
    name = f"|activation| above its layer's {percent} % quantile"
    return Rule(name, tuple(thresholds), facts, of, watch.read_from())


def cett(model: nn.Module, batches: Batches, target: float) -> Rule:
    """The largest threshold on the size of a unit's output that keeps each layer's mean tail error at `target`.

    CETT (cumulative error of tail truncation; "Sparsing Law", arXiv 2411.02335): the norm of the summed outputs of
    the units below the threshold over the norm of the whole MLP output (without its bias), mean over tokens. A unit's
    output is its activation (act(gate) · up in gated MLPs) times its output weights. Thresholds are tried on a ladder
    whose rungs lie 1/207 of the way from the 0.1 % to the 99.99 % quantile of a layer's sizes apart, on a scale of
    logarithms. One pass makes the histogram of sizes and keeps some tokens, which guess the rung; another computes the
    exact errors of four rungs around the guess, or more passes, until a rung is within the target and the next one is
    not. `facts` holds the exact error of that rung.

    Raises
    ------
    UserError
        If the target is not between 0 and 1, or no threshold tried has so small an error.
    """
    target = between(target, 0, 1, "CETT", "a share of the MLP's output between 0 and 1")
    batches = list(batches)
    ladders = Ladders(model, batches)
    found = ladders.climb(batches, target)
    rule = _rule(
        f"CETT {short(target)}: |unit's output| above its layer's threshold", ladders, [limit for limit, _ in found]
    )
    rule.facts.update({f"cett_{layer}": error for layer, (_, error) in enumerate(found)})
    return rule


def cett_at_perplexity(model: nn.Module, batches: Batches, percent: float) -> Rule:
    """CETT-PPL-p %: the largest CETT, one for all layers, that raises the calibration text's perplexity by ≤ p %.

    Causal language models, whose calls return logits. The tail errors come from one table, so every step of the
    search is one plain evaluation; `facts` holds the perplexities and the CETT.

    Raises
    ------
    UserError
        If the percentage is not above 0, the model gives no logits, or even the smallest CETT tried costs more.
    """
    percent = between(percent, 0, sys.float_info.max, "p", "a percentage of perplexity above 0")
    batches = list(batches)
    whole = loss(model, batches)
    table = TailErrors(model, batches)
    limit = whole + math.log1p(percent / 100)
    low, high, best = math.log(0.01), math.log(0.99), None
    for _ in range(STEPS):
        middle = (low + high) / 2
        name = f"CETT-PPL-{short(percent)} %: |unit's output| above its layer's threshold"
        rule = _rule(name, table, table.limits(math.exp(middle)), cett=math.exp(middle))
        cost = loss(model, batches, rule)
        if cost <= limit:
            low, best = middle, (rule, cost)
        else:
            high = middle
    if best is None:
        raise UserError(f"every CETT tried costs more than {short(percent)} % of perplexity; allow more.")
    rule, cost = best
    rule.facts.update({"perplexity": math.exp(whole), "perplexity_with_rule": math.exp(cost)})
    return rule


def loss(model: nn.Module, batches: Batches, rule: Rule | None = None) -> float:
    """Mean next-token loss, nats per token; with a rule, units that do not fire by it are set to zero."""
    nats, tokens = 0.0, 0
    with Zeroed(model, rule) if rule else torch.no_grad(), torch.no_grad():
        for batch in batches:
            out = model(**batch)
            logits = out if isinstance(out, Tensor) else getattr(out, "logits", None)
            ids = batch.get("input_ids", batch.get("tokens"))
            if not isinstance(logits, Tensor) or not isinstance(ids, Tensor) or logits.shape[:2] != ids.shape:
                raise UserError("perplexity needs a model of next tokens: input_ids in, logits for each of them out.")
            mask = batch.get("attention_mask")
            targets = ids[:, 1:] if mask is None else ids[:, 1:].masked_fill(mask[:, 1:] == 0, -100)
            flat = logits[:, :-1].flatten(0, 1).float()
            nats += float(F.cross_entropy(flat, targets.flatten(), reduction="sum", ignore_index=-100))
            tokens += int((targets != -100).sum())
    if not tokens:
        raise UserError("the calibration text has no next tokens; give longer sequences.")
    return nats / tokens


def _rule(name: str, found: Ladders, limits: Sequence[float], **facts: float) -> Rule:
    thresholds = tuple(limit / norm.clamp_min(1e-30) for limit, norm in zip(limits, found.norms, strict=True))
    return Rule(name, thresholds, dict(facts), "product", found.layers)
