"""Networks of Hugging Face's transformers for text, sound and images."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

import torch
from torch import Tensor, nn

from fdkd_lightning.models.pretrained import DeferredModel
from fdkd_lightning.models.token_pooling import Pooling, as_map, pool_tokens
from fdkd_lightning.models.transformers_inputs import (
    check_vocabulary,
    named_inputs,
    takes_spectrograms,
)
from fdkd_lightning.models.weight_checks import check_weights
from fdkd_lightning.ops.checks import check_choice, check_count
from fdkd_lightning.types import Output


class TransformersModel(DeferredModel):
    r"""An encoder or decoder of transformers with a linear classifier on its pooled hidden state.

    Padding tokens are masked in attention, left out of pooling, and zero in maps. BERT's pooler (a
    layer with tanh on the class token) is removed: the features are the hidden state. LayerDrop is
    disabled, since ``maps`` and DDP need the output of each layer.

    The network is built from its configuration, with random weights; :meth:`load`, which the
    modules call once, before they train or evaluate, reads the pretrained ones. So testing a
    checkpoint needs the ``config.json`` and no weights file. Call ``load()`` yourself if you use no
    module of this package. Weights are read from safetensors and converted to float32. Code in a
    model's repository is never run.

    Args:
        source: A name on the hub, such as ``google-bert/bert-base-uncased``; a local folder with
            ``config.json`` and, if ``pretrained``, ``model.safetensors``; or the content of a
            ``config.json`` as a dict, which needs no file.
        num_classes: Number of classes K.
        pretrained: Let :meth:`load` read the weights of the source; else they stay random.
        pooling: ``"cls"``, the first token (AST: the mean of its two class tokens), ``"mean"`` or
            ``"last"``. Decoders and networks for waveforms have no class token.
        layers: Layers whose hidden states become ``maps``: 0 is the embedding, i the output of
            layer i, -1 the last.

    Shape:
        - x: text: a dict of ``input_ids`` and ``attention_mask``, [N, L] int64 (1: a token, 0:
          padding), as :class:`~fdkd_lightning.data.Tokenize` returns it; sound: waveforms [N, S],
          with padding a dict of ``input_values`` and ``attention_mask`` [N, S], or for AST
          spectrograms [N, 1, F, T] or [N, F, T], as ``KaldiFbank`` returns them; images:
          [N, C, H, W]
        - features: [N, D]
        - logits: [N, K]
        - maps: one for each of ``layers``, [N, D, 1, L], class tokens included

    Raises:
        ValueError: If an argument is unknown or does not suit the network; by :meth:`load`, if the
            source lacks weights; by a forward pass, if the input does not suit the network.
        OSError: If the configuration, or by :meth:`load` the weights, cannot be read.

    Reference:
        Wolf et al., "Transformers: State-of-the-Art Natural Language Processing"
        (arXiv:1910.03771), huggingface/transformers.

    Example:
        >>> sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
        >>> source = {"model_type": "bert", "vocab_size": 30, "intermediate_size": 16} | sizes
        >>> model = TransformersModel(source, num_classes=5, pretrained=False, layers=[1, 2])
        >>> tokens = {"input_ids": torch.tensor([[2, 7, 3], [2, 3, 0]])}
        >>> output = model(tokens | {"attention_mask": torch.tensor([[1, 1, 1], [1, 1, 0]])})
        >>> output.features.shape, output.logits.shape, output.maps[0].shape
        (torch.Size([2, 8]), torch.Size([2, 5]), torch.Size([2, 8, 1, 3]))
    """

    def __init__(
        self,
        source: str | dict[str, Any],
        num_classes: int,
        pretrained: bool = True,
        pooling: Pooling = "cls",
        layers: Sequence[int] = (),
    ) -> None:
        super().__init__()
        check_choice("pooling", pooling, get_args(Pooling))
        check_count("num_classes", num_classes, example=10)
        if not isinstance(source, str) and (pretrained or "model_type" not in source):
            raise ValueError(
                f"source holds {', '.join(source) or 'nothing'}: the content of a config.json "
                "needs model_type, and pretrained: false, since it has no weights"
            )
        from transformers import AutoModel

        self.source = source
        self._name = source if isinstance(source, str) else source["model_type"]
        self.num_classes = num_classes
        self.pretrained = pretrained
        self.pooling = pooling
        self.layers = tuple(layers)
        config = self._read_config()
        # Weights that load() replaces consume no random numbers.
        with torch.random.fork_rng(devices=[], enabled=pretrained):
            net = AutoModel.from_config(config, trust_remote_code=False, dtype=torch.float32)
        self.net: Any = _without_pooler(net)
        self._check_arguments()
        self.fc = nn.Linear(config.hidden_size, num_classes)
        self._is_vocabulary_checked = False

    def load(self) -> None:
        """Read the weights of the source, if ``pretrained``."""
        if not self.pretrained:
            return
        from transformers import AutoModel

        # Weights that the source lacks are drawn.
        with torch.random.fork_rng(devices=[]):
            net, found = self._read(
                AutoModel.from_pretrained,
                "weights",
                config=self.net.config,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
        missing = sorted(name for name in found["missing_keys"] if not name.startswith("pooler."))
        if missing:
            raise ValueError(
                f"source={self._name!r} lacks {len(missing)} weights of a {type(net).__name__} "
                f"(such as {', '.join(missing[:3])}), which would stay random: give a folder or "
                "name that has them, or set pretrained: false"
            )
        weights = _without_pooler(net).state_dict()
        check_weights(f"source={self._name!r}", weights, self.net.state_dict())
        self.net.load_state_dict(weights)

    def self_contained(self) -> dict[str, Any]:
        """Return the whole configuration as ``source``."""
        return {"source": json.loads(self.net.config.to_json_string()), "pretrained": False}

    @classmethod
    def looked_up_by(cls, arguments: Mapping[str, Any]) -> tuple[str, str] | None:
        """A source given by name, and parts that a config names, are looked up by transformers."""
        source = arguments.get("source")
        looked_up = isinstance(source, str) or _names_a_part(source)
        return ("source", "transformers") if looked_up else None

    def forward(self, x: Any) -> Output:
        """Return features, logits and the maps of ``layers``."""
        inputs = named_inputs(self.net, self._name, x)
        if not self._is_vocabulary_checked:
            check_vocabulary(self.net, self._name, inputs)
            self._is_vocabulary_checked = True
        found = self.net(**inputs, output_hidden_states=bool(self.layers), return_dict=True)
        hidden = found.last_hidden_state
        mask = self._mask(inputs.get("attention_mask"), hidden.shape[1])
        features = self._pool(hidden, mask)
        maps = tuple(as_map(found.hidden_states[layer], mask) for layer in self.layers)
        return Output(features, self.fc(features), maps)

    def _read_config(self) -> Any:
        from transformers import AutoConfig

        if isinstance(self.source, str):
            config = self._read(AutoConfig.from_pretrained, "configuration")
        else:
            config = AutoConfig.for_model(**self.source)
        if getattr(config, "is_encoder_decoder", False) or not hasattr(config, "hidden_size"):
            raise ValueError(
                f"source={self._name!r} is a {config.model_type}, not one stack of layers with a "
                "hidden_size: choose an encoder such as BERT, wav2vec2, AST or ViT, or a decoder "
                "such as LLaMA"
            )
        # A decoder would return keys and values for generation.
        config.use_cache = False
        if hasattr(config, "layerdrop"):
            config.layerdrop = 0.0
        return config

    def _read(self, reader: Callable[..., Any], part: str, **options: Any) -> Any:
        try:
            return reader(self.source, trust_remote_code=False, **options)
        except OSError as error:
            raise OSError(
                f"the {part} of source={self.source!r} cannot be read ({error}): give a folder "
                "with config.json and model.safetensors, or a name on the hub. Run once where the "
                "hub can be reached, and both are kept in its cache (HF_HOME)"
            ) from error

    def _check_arguments(self) -> None:
        layers = self.net.config.num_hidden_layers
        for layer in self.layers:
            check_count("layers", layer, None)
            if not -layers - 1 <= layer <= layers:
                raise ValueError(
                    f"layers={list(self.layers)}, but {self._name!r} has {layers} layers: "
                    f"choose from 0 to {layers}"
                )
        causal = any(getattr(part, "is_causal", False) for part in self.net.modules())
        waveform = self.net.main_input_name == "input_values" and not takes_spectrograms(self.net)
        if self.pooling == "cls" and (causal or waveform):
            why = "the first token attends to no other" if causal else "it has no class token"
            raise ValueError(
                f"pooling='cls' does not suit {self._name!r}, since {why}: set pooling to 'mean'"
                + (" or 'last'" if causal else "")
            )

    def _mask(self, mask: Tensor | None, length: int) -> Tensor | None:
        """Return which hidden states are not padding, [N, L] bool; None: all."""
        if mask is None:
            return None
        if mask.shape[1] != length:
            # The mask is of a waveform's samples; a hidden state covers several hundred.
            mask = self.net._get_feature_vector_attention_mask(length, mask)
        return mask.bool()

    def _pool(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        if self.pooling == "cls" and takes_spectrograms(self.net):
            return hidden[:, :2].mean(1)
        return pool_tokens(hidden, mask, self.pooling)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "TransformersModel":
        """Keep the frequencies of rotary positions in float32 when the model's dtype changes.

        Rounded to bfloat16, the angle at position 100 would be wrong by half a radian. ``to`` and
        ``half`` of an outer module reach this module through ``_apply`` alone: torch has no public
        hook there, and torch's own RNNs override it too.
        """
        kept = {name: b for name, b in self.named_buffers() if name.endswith("inv_freq")}
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch does not annotate it
        for name, frequencies in kept.items():
            part, _, leaf = name.rpartition(".")
            owner = self.get_submodule(part)
            setattr(owner, leaf, frequencies.to(getattr(owner, leaf).device))
        return self


def _without_pooler(net: Any) -> Any:
    """Remove BERT's pooler, which would get no gradient."""
    if hasattr(net, "pooler"):
        net.pooler = None
    return net


def _names_a_part(config: Any) -> bool:
    """Whether a config has a part, such as a backbone, that is looked up by its name."""
    if isinstance(config, dict):
        parts = ("architecture", "backbone", "use_pretrained_backbone")
        return any(
            (key in parts and value) or _names_a_part(value) for key, value in config.items()
        )
    return isinstance(config, list) and any(_names_a_part(value) for value in config)
