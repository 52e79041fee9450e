"""A network of any library, wrapped to return an Output."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fdkd_lightning.models.layer_reader import LayerReader
from fdkd_lightning.models.layers import Layers
from fdkd_lightning.ops.precision import cast_to_model_dtype
from fdkd_lightning.ops.tensor_checks import check_module, check_on_cpu
from fdkd_lightning.types import Output


class FeatureModel(nn.Module):
    r"""A network of any library; features and maps are captured from its layers while it runs.

    ============================ ================================== ================================
    network                      features: one vector               kept tokens or maps
    ============================ ================================== ================================
    timm                         None, the classifier's input       ``layer4``; ViT: ``norm``,
                                                                    ``prefix_tokens=1``; Swin:
                                                                    ``norm``, ``channel_dim=-1``
    torchvision ResNet           None, or ``avgpool``               ``layer4``
    torchvision ViT              None                               ``encoder``, ``prefix_tokens=1``
    torchvision DeepLabV3        ``backbone``, ``pooling="mean"``   ``backbone``
    torchvision detectors        ``backbone.fpn``, with             ``backbone.fpn.layer_blocks.*``
                                 ``logits=False``
    ...ForConditionalGeneration  ``model.multi_modal_projector``,   the same; in the decoder
    (LLaVA), visual tokens       ``tokens="all"``, with             ``model.language_model``,
                                 ``pooling="mean"``                 ``tokens=image_token_id``
    transformers, no classifier  ``""``, with ``pooling``           ``""``, its last hidden state
    ...ForSequenceClassification None (BERT, wav2vec2)              ``bert``, ``wav2vec2``, ...
    ...ForImageClassification    None                               ``vit``, ``prefix_tokens=1``
    ...ForAudioClassification    None                               ASTs:
                                                                    ``audio_spectrogram_transformer``,
                                                                    ``prefix_tokens=2``
    ...ForCausalLM, and LLaMA's  ``model``, ``pooling="last"``      ``model``
    torchaudio wav2vec2          ``encoder``, ``pooling="mean"``    ``encoder``
    ============================ ================================== ================================

    For a network without a classifier, pass ``classifier``. ``print(model)`` shows the names of all
    layers. Do not call it from several threads at once.

    Args:
        model: The network. It takes the modality's input (a dict as keyword arguments, a tuple as
            positional ones) and returns logits, or a tuple, list or dict that contains them.
        layers: Layers of features, logits and maps; None: the features are the input of the
            network's classifier.
        classifier: A layer from pooled features to logits, for a network that has none, such as
            ``torch.nn.Linear(768, 10)``.

    Shape:
        - x: the network's input; in a dict, ``attention_mask`` marks the tokens [N, L], or the
          samples of a waveform [N, S], that are not padding
        - features: [N, D]; without ``pooling`` maps [N, D, H, W] or tokens [N, D, 1, L]
        - logits: [N, K, ...], of tokens [N, K, 1, L]
        - maps: [N, C, H, W] or [N, C, 1, L]

    Raises:
        ValueError: If the network has no such layer, or its tensor has an unexpected shape.
        RuntimeError: By a forward pass, if a layer did not run.
        TypeError: If ``layers`` is no ``Layers``; by a forward pass, if the network returns no
            logits.

    Example:
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> output = FeatureModel(model, Layers(features="2"))(torch.randn(2, 3, 4))
        >>> output.features.shape, output.logits.shape
        (torch.Size([2, 8]), torch.Size([2, 3]))
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Layers | None = None,
        classifier: nn.Module | None = None,
    ) -> None:
        super().__init__()
        check_module("model", model)
        layers = Layers() if layers is None else layers
        if not isinstance(layers, Layers):
            raise TypeError(f"layers={layers!r} must be a Layers, such as Layers('avgpool')")
        if classifier is not None:
            check_module("classifier", classifier)
        if classifier is not None and layers.logits is not None:
            raise ValueError(
                f"classifier is given, and logits={layers.logits!r} too: leave one of them out"
            )
        self.model = model
        self.classifier = classifier
        self._reader = LayerReader(model, layers)

    def forward(self, x: Any) -> Output:
        """Run the network, and return the captured features, logits and maps."""
        x = cast_to_model_dtype(self.model, x)
        mask = self._mask(x)
        with self._reader.reading():
            returned = self._run(x)
        if self.classifier is None:
            return self._reader.take(returned, mask)
        output = self._reader.take(None, mask)
        if output.features.ndim != 2:
            raise ValueError(
                f"classifier takes features [N, D], but they are {list(output.features.shape)}: "
                "set pooling='mean' in layers"
            )
        size = getattr(self.classifier, "in_features", None)
        if size is not None and size != output.features.shape[1]:
            raise ValueError(
                f"classifier takes {size} features, but there are {output.features.shape[1]}: "
                f"make it nn.Linear({output.features.shape[1]}, num_classes)"
            )
        return output._replace(
            logits=self.classifier(cast_to_model_dtype(self.classifier, output.features))
        )

    def _run(self, x: Any) -> Any:
        if isinstance(x, Mapping):
            return self.model(**x)
        return self.model(*x) if isinstance(x, tuple) else self.model(x)

    def _mask(self, x: Any) -> Tensor | None:
        """Return which tokens of the layers count: by default, those that are not padding."""
        tokens = self._reader.layers.tokens
        if isinstance(tokens, int):
            return _tokens_of(x, tokens)
        if tokens == "all":
            return None
        mask: Tensor | None = x.get("attention_mask") if isinstance(x, Mapping) else None
        to_frames = "_get_feature_vector_attention_mask"
        net: Any = next((part for part in self.model.modules() if hasattr(part, to_frames)), None)
        if mask is None or net is None:
            return mask
        # Networks for waveforms get a mask of samples, and return a token for several hundred.
        tokens = int(net._get_feat_extract_output_lengths(torch.tensor(mask.shape[1])))
        found: Tensor = getattr(net, to_frames)(tokens, mask)
        return found


def _tokens_of(x: Any, token: int) -> Tensor:
    """Return which tokens of the input have an id."""
    ids = x.get("input_ids") if isinstance(x, Mapping) else None
    if not isinstance(ids, Tensor):
        raise ValueError(
            f"tokens={token} is an id of input_ids, which the input lacks: give a dict with "
            "'input_ids', or set tokens='attended' in layers"
        )
    found = ids == token
    check_on_cpu(
        found.any(1).all(),
        f"a sample has no token {token} in its input_ids: set tokens in layers to the id of the "
        "image's tokens (model.config.image_token_id)",
    )
    return found
