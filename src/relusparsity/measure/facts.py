"""What a model says of itself: token types, positions, and whether it predicts each next token; or what is tried."""

from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..models import Decoder

# kinds that number positions from the one after the padding token's number
AFTER_PADDING = (
    "roberta",
    "roberta-prelayernorm",
    "xlm-roberta",
    "xlm-roberta-xl",
    "camembert",
    "xmod",
    "data2vec-text",
    "esm",
    "ibert",
    "lilt",
    "longformer",
    "luke",
    "markuplm",
    "mpnet",
)
POSITIONS = ("max_position_embeddings", "n_positions", "max_seq_len")
PREDICTS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
"""How the classes of transformers end that have logits of next tokens; some see those too."""

_tried: "WeakKeyDictionary[nn.Module, bool]" = WeakKeyDictionary()


def text_config(model: nn.Module) -> Any:
    """The configuration of what reads text; of a model that reads images too, a part of the whole."""
    config: Any = getattr(model, "config", None)
    return config.get_text_config() if hasattr(config, "get_text_config") else config


def vocabulary(model: nn.Module) -> int:
    """Token types that the model knows."""
    return int(text_config(model).vocab_size)


def positions(model: nn.Module) -> int | None:
    """The longest sequence that a model can read, in tokens; None where nothing bounds it.

    Raises
    ------
    UserError
        If its configuration gives a number below one.
    """
    if isinstance(model, Decoder):
        return model.config.seq_len
    config = text_config(model)
    if getattr(config, "is_encoder_decoder", False) and hasattr(config, "relative_attention_num_buckets"):
        return None
    for name in POSITIONS:
        number = getattr(config, "__dict__", {}).get(name)  # some classes say −1 of themselves: no bound
        if isinstance(number, int) and number < 1:
            raise UserError(
                f"{name} = {number} in the model's configuration: expected 1 or more; mend its config.json."
            )
    told = (getattr(config, name, None) for name in POSITIONS)
    most = next((int(number) for number in told if number is not None and number > 0), None)
    if most is not None and getattr(config, "model_type", "") in AFTER_PADDING:
        return most - int(config.pad_token_id) - 1
    return most


def is_causal(model: nn.Module) -> bool:
    """Whether the model predicts each next token without seeing it, so that it has a loss on plain text.

    Tried once, on two short texts: ask before anything watches the model.
    """
    if isinstance(model, Decoder):
        return True
    both = getattr(getattr(model, "config", None), "is_encoder_decoder", False)
    if both or not type(model).__name__.endswith(PREDICTS):
        return False
    if model not in _tried:
        _tried[model] = _is_blind(model)
    return _tried[model]


@torch.no_grad()
def _is_blind(model: nn.Module) -> bool:
    """Whether the logits of two texts are the same before the last token, in which they differ."""
    types = vocabulary(model)
    ids = ((torch.arange(8) + types // 2) % types).repeat(2, 1)
    ids[1, -1] = ids[1, 0]
    found = model(input_ids=ids.to(next(model.parameters()).device), use_cache=False)
    logits = found if isinstance(found, Tensor) else getattr(found, "logits", None)
    if not isinstance(logits, Tensor) or logits.shape[:2] != ids.shape:
        return False
    one, other = logits[:, :-1].float()
    rounding = 4 * torch.finfo(logits.dtype).eps * one.abs().max()
    return not bool((one - other).abs().max() > rounding)  # NaN is told later, by the loss
