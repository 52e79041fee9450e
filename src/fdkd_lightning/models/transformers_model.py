"""Networks of Hugging Face's transformers for tokens, sound and pictures."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

import torch
from torch import Tensor, nn

from fdkd_lightning.models.pretrained import DeferredModel
from fdkd_lightning.models.tokens import Pooling, as_map, pool_tokens
from fdkd_lightning.types import Output

SPECTROGRAM = "audio-spectrogram-transformer"


class TransformersModel(DeferredModel):
    r"""An encoder or decoder of transformers, its pooled last hidden state, and a linear layer.

    Tokens that are padding are never attended to nor pooled, and are zero in maps. BERT's own
    pooler (a layer with tanh above the class token) is left out: features are the hidden state.
    So is LayerDrop, since ``maps`` and DDP need each layer's output.

    The network is not built with the object but by :meth:`load`, which the modules call when fit
    begins, or else when it is first used: a configuration can be read, and a config of the hub
    printed, where the hub cannot be reached. To test a checkpoint, the network's ``config.json``
    alone is read. **Call** ``load()`` **yourself before you make an optimizer of your own.**
    Weights are safetensors in float32, whatever they are stored in; no code of a model's
    repository is run.

    Args:
        source: A name on the hub, such as ``google-bert/bert-base-uncased``, or a local folder
            with ``config.json`` and, if ``pretrained``, ``model.safetensors``; or what such a
            ``config.json`` holds, which needs no file.
        num_classes: K.
        pretrained: Begin with the source's weights; else with random ones.
        pooling: ``"cls"``, the first token (AST: the mean of its two class tokens), ``"mean"`` or
            ``"last"``. Decoders have no class token, nor have networks for waveforms.
        layers: Whose hidden states are ``maps``: 0 is the embedding, i what layer i gives, -1 the
            last.

    Shape:
        - x: of text, a dict of ``input_ids`` and ``attention_mask``, [N, L] int64 (1: a token, 0:
          padding), as :class:`~fdkd_lightning.data.Tokenize` makes it; of sound, waveforms [N, S],
          with padding a dict of ``input_values`` and ``attention_mask`` [N, S], or for AST
          spectrograms [N, 1, F, T] or [N, F, T], as ``KaldiFbank`` makes them; of pictures,
          [N, C, H, W]
        - features: [N, D]
        - logits: [N, K]
        - maps: one for each of ``layers``, [N, D, 1, L], class tokens included

    Raises:
        ValueError: If an argument is unknown or does not go with another; once it is built, if the
            network has no such pooling or layer, or its weights are not whole; if an input does not
            fit it.
        OSError: Once it is built or loaded, if the source cannot be read.

    Reference:
        Wolf et al., "Transformers: State-of-the-Art Natural Language Processing"
        (arXiv:1910.03771), huggingface/transformers.

    Example:
        >>> from tempfile import mkdtemp
        >>> from transformers import BertConfig
        >>> folder = mkdtemp()
        >>> sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
        >>> BertConfig(vocab_size=30, intermediate_size=16, **sizes).save_pretrained(folder)
        >>> model = TransformersModel(folder, num_classes=5, pretrained=False, layers=[1, 2])
        >>> tokens = {"input_ids": torch.tensor([[2, 7, 3], [2, 3, 0]])}
        >>> output = model(tokens | {"attention_mask": torch.tensor([[1, 1, 1], [1, 1, 0]])})
        >>> output.features.shape, output.logits.shape, output.maps[0].shape
        (torch.Size([2, 8]), torch.Size([2, 5]), torch.Size([2, 8, 1, 3]))
    """

    net: Any
    fc: Any

    def __init__(
        self,
        source: str | dict[str, Any],
        num_classes: int,
        pretrained: bool = True,
        pooling: Pooling = "cls",
        layers: Sequence[int] = (),
    ) -> None:
        super().__init__()
        if pooling not in get_args(Pooling):
            raise ValueError(f"pooling={pooling!r} must be one of {', '.join(get_args(Pooling))}")
        if not isinstance(source, str) and (pretrained or "model_type" not in source):
            raise ValueError(
                f"source holds {', '.join(source) or 'nothing'}: a config.json's content needs "
                "model_type, and pretrained: false, since it has no weights"
            )
        self.source = source
        self._name = source if isinstance(source, str) else source["model_type"]
        self.num_classes = num_classes
        self.pretrained = pretrained
        self.pooling = pooling
        self.layers = tuple(layers)
        self.register_module("net", None)
        self.register_module("fc", None)
        self._checked = False

    def build(self) -> None:
        """Make the network, with random weights, if it is not there yet."""
        if self.net is None:
            from transformers import AutoModel

            config = self._config()
            self._set(AutoModel.from_config(config, trust_remote_code=False, dtype=torch.float32))

    def load(self) -> None:
        """Make the network, with the source's weights if they are asked for."""
        if not self.pretrained:
            self.build()
            return
        from transformers import AutoModel

        net, found = self._read(
            AutoModel.from_pretrained,
            config=self._config(),
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
        missing = sorted(name for name in found["missing_keys"] if not name.startswith("pooler."))
        if missing:
            raise ValueError(
                f"source={self._name!r} lacks {len(missing)} weights of a {type(net).__name__} "
                f"(such as {', '.join(missing[:3])}), which would be random: give the folder or "
                "name of one that has them, or set pretrained: false"
            )
        if self.net is None:
            self._set(net)
        else:
            self.net.load_state_dict(_without_pooler(net).state_dict())

    def self_contained(self) -> dict[str, Any]:
        """The network's whole configuration in place of where it is read from."""
        self.build()
        return {"source": json.loads(self.net.config.to_json_string()), "pretrained": False}

    @classmethod
    def looked_up_by(cls, arguments: Mapping[str, Any]) -> tuple[str, str] | None:
        """A source given by name, and parts that a config names, are looked up by transformers."""
        source = arguments.get("source")
        looked_up = isinstance(source, str) or _names_a_part(source)
        return ("source", "transformers") if looked_up else None

    def forward(self, x: Any) -> Output:
        """Features, logits and the maps of ``layers``."""
        new = self.net is None
        self.build()
        inputs = self._inputs(x)
        if new:
            self.to(inputs[self.net.main_input_name].device)
        found = self.net(**inputs, output_hidden_states=bool(self.layers), return_dict=True)
        hidden = found.last_hidden_state
        mask = self._mask(inputs.get("attention_mask"), hidden.shape[1])
        features = self._pool(hidden, mask)
        maps = tuple(as_map(found.hidden_states[layer], mask) for layer in self.layers)
        return Output(features, self.fc(features), maps)

    def _config(self) -> Any:
        from transformers import AutoConfig

        if isinstance(self.source, str):
            config = self._read(AutoConfig.from_pretrained)
        else:
            config = AutoConfig.for_model(**self.source)
        if getattr(config, "is_encoder_decoder", False) or not hasattr(config, "hidden_size"):
            raise ValueError(
                f"source={self._name!r} is a {config.model_type}, not one stack of layers with a "
                "hidden_size: choose an encoder such as BERT, wav2vec2, AST or ViT, or a decoder "
                "such as LLaMA"
            )
        # A decoder would keep what it needs to write on.
        config.use_cache = False
        if hasattr(config, "layerdrop"):
            config.layerdrop = 0.0
        return config

    def _read(self, reader: Callable[..., Any], **options: Any) -> Any:
        try:
            return reader(self.source, trust_remote_code=False, **options)
        except OSError as error:
            raise OSError(
                f"source={self.source!r} cannot be read ({error}): give a folder with config.json "
                "and model.safetensors, or a name on the hub; run once where the hub can be "
                "reached, and it is kept in its cache (HF_HOME)"
            ) from error

    def _set(self, net: Any) -> None:
        """Take the network, and draw the classifier."""
        layers = net.config.num_hidden_layers
        for layer in self.layers:
            if not -layers - 1 <= layer <= layers:
                raise ValueError(
                    f"layers={list(self.layers)}, but {self._name!r} has {layers} layers: "
                    f"name some from 0 to {layers}"
                )
        causal = any(getattr(part, "is_causal", False) for part in net.modules())
        waveform = net.main_input_name == "input_values" and not _takes_spectrograms(net)
        if self.pooling == "cls" and (causal or waveform):
            why = "the first token sees no other" if causal else "it has no class token"
            raise ValueError(
                f"pooling='cls' does not suit {self._name!r}, since {why}: set pooling to 'mean'"
                + (" or 'last'" if causal else "")
            )
        self.net = _without_pooler(net)
        self.fc = nn.Linear(net.config.hidden_size, self.num_classes)
        self.train(self.training)

    def _inputs(self, x: Any) -> dict[str, Tensor]:
        """The network's arguments, checked."""
        name, config = self.net.main_input_name, self.net.config
        text = name == "input_ids"
        inputs = {name: x} if isinstance(x, Tensor) and not text else x
        if not isinstance(inputs, dict) or name not in inputs:
            have = f"a dict of {', '.join(x)}" if isinstance(x, dict) else type(x).__name__
            remedy = (
                "give the data the transform fdkd_lightning.data.Tokenize for this modality"
                if text
                else f"give a tensor, or a dict of {name} and attention_mask, all of one length"
            )
            raise ValueError(f"{self._name!r} takes {name}, but got {have}: {remedy}")
        values = inputs[name]
        if text:
            self._check_tokens(values)
        elif _takes_spectrograms(self.net):
            values = values.squeeze(1) if values.ndim == 4 else values
            size = [config.num_mel_bins, config.max_length]
            if list(values.shape[1:]) != size:
                raise ValueError(
                    f"{self._name!r} takes spectrograms [N, F, T] with F, T = {size}, but got "
                    f"{list(inputs[name].shape)}: set n_mels and length of KaldiFbank so"
                )
            values = values.transpose(1, 2)
        elif values.ndim != (2 if name == "input_values" else 4):
            shape = "waveforms [N, S]" if name == "input_values" else "pictures [N, C, H, W]"
            raise ValueError(
                f"{self._name!r} takes {shape}, but got {list(values.shape)}"
                + (": use TimmModel for frames" if values.ndim == 5 else "")
            )
        return {**inputs, name: values}

    def _check_tokens(self, ids: Tensor) -> None:
        limit = getattr(self.net.config, "max_position_embeddings", None)
        if limit is not None and ids.shape[1] > limit:
            raise ValueError(
                f"texts of {ids.shape[1]} tokens are longer than the {limit} that {self._name!r} "
                f"has positions for: set max_length={limit} of Tokenize, or less"
            )
        if self._checked:
            return
        # Values, once: in the hot path it would cost a sync per step.
        self._checked = True
        if int(ids.max()) >= self.net.config.vocab_size:
            raise ValueError(
                f"a token's number is {int(ids.max())}, but {self._name!r} knows "
                f"{self.net.config.vocab_size} tokens: give Tokenize the tokenizer "
                f"{self._name!r}"
            )

    def _mask(self, mask: Tensor | None, length: int) -> Tensor | None:
        """Which hidden states are not of padding, [N, L] bool; None: all."""
        if mask is None:
            return None
        if mask.shape[1] != length:
            # Of a waveform's samples; a hidden state is of several hundred.
            mask = self.net._get_feature_vector_attention_mask(length, mask)
        return mask.bool()

    def _pool(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        if self.pooling == "cls" and _takes_spectrograms(self.net):
            return hidden[:, :2].mean(1)
        return pool_tokens(hidden, mask, self.pooling)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "TransformersModel":
        # The angles of rotary positions are products with a position: rounded to bfloat16, those
        # of position 100 would be wrong by half a radian. So they stay float32.
        kept = {name: b for name, b in self.named_buffers() if name.endswith("inv_freq")}
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch's
        for name, frequencies in kept.items():
            part, _, leaf = name.rpartition(".")
            owner = self.get_submodule(part)
            setattr(owner, leaf, frequencies.to(getattr(owner, leaf).device))
        return self

    # A checkpoint may come before the first use.

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self.build()
        super()._load_from_state_dict(*args, **kwargs)

    def _save_to_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self.build()
        super()._save_to_state_dict(*args, **kwargs)


def _takes_spectrograms(net: Any) -> bool:
    return bool(net.config.model_type == SPECTROGRAM)


def _without_pooler(net: Any) -> Any:
    """The network without a layer that nothing here would train."""
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
