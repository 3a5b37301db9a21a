"""The kinds of models and of data that a run may have, which of them go together, and what is for decoders alone.

A further kind is a class of its own configuration, and a row in `READS`; see `models.kinds` and `corpora.tasks`.
"""

from typing import Annotated, Any

from .checks import Only
from .corpus_config import CorpusConfig, DataConfig
from .encoder_decoder_config import EncoderDecoderConfig
from .errors import UserError
from .fork_config import ForkConfig
from .intervention_config import InterventionConfig
from .model_config import BaseModelConfig, ModelConfig
from .pictures_config import PicturesConfig
from .span_config import SpanCorpusConfig
from .vit_config import VitConfig

READS: dict[type[DataConfig], tuple[type[BaseModelConfig], dict[str, str]]] = {
    CorpusConfig: (ModelConfig, {"vocab_size": "vocab_size"}),
    PicturesConfig: (VitConfig, {"side": "image_size", "classes": "classes"}),
    SpanCorpusConfig: (
        EncoderDecoderConfig,
        {"seq_len": "seq_len", "target_len": "target_len", "vocab_size": "vocab_size"},
    ),
}
"""What a run is trained on → the kind of model that reads it, and which numbers of the two are the same."""

# one field for every kind: which it is, the run says, and who reads one kind alone need not be told so
OfModel = Annotated[Any, Only(lambda value: isinstance(value, BaseModelConfig), "a ModelConfig, or another kind's")]
OfData = Annotated[Any, Only(lambda value: isinstance(value, DataConfig), "a CorpusConfig, or another kind's")]


def check_pair(model: BaseModelConfig, data: DataConfig) -> None:
    """Refuse a model that does not read what it would be trained on.

    Raises
    ------
    UserError
        For kinds that do not go together, or two numbers that should be the same.
    """
    of_data = next((each for each in type(data).__mro__ if each in READS), None)
    if of_data is None:
        raise UserError(
            f"nothing reads {type(data).__name__}; give one of {', '.join(each.__name__ for each in READS)}."
        )
    kind, same = READS[of_data]
    if not isinstance(model, kind):
        raise UserError(
            f"{type(data).__name__} is read by a model of {kind.__name__}, not by one of {type(model).__name__}; give "
            "both of one kind."
        )
    for ours, theirs in same.items():
        if (has := getattr(data, ours)) != (of_model := getattr(model, theirs)):
            raise UserError(f"corpus.{ours} = {has} but model.{theirs} = {of_model}; give both the same.")


def check_decoder(model: BaseModelConfig, intervention: InterventionConfig, fork: ForkConfig) -> None:
    """Refuse what is done to the blocks of a decoder where the model is of another kind.

    Raises
    ------
    UserError
        For an intervention, or a fork that freezes what lies before a layer.
    """
    asked = {"an intervention": intervention.kind != "none", "fork.freeze_before": fork.freeze_before is not None}
    for what in (name for name, given in asked.items() if given and not isinstance(model, ModelConfig)):
        raise UserError(f"{what} is about the blocks of a decoder, not of a model of {type(model).__name__}; drop it.")
