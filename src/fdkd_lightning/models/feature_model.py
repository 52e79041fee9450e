"""Any network as one that returns an Output."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fdkd_lightning.models.layer_reader import LayerReader
from fdkd_lightning.models.layers import Layers
from fdkd_lightning.ops.precision import cast_to_model_dtype
from fdkd_lightning.types import Output


class FeatureModel(nn.Module):
    r"""A network of any library, its features read off a layer while it runs.

    ============================ ================================== ================================
    network                      features: one vector               kept tokens or maps
    ============================ ================================== ================================
    timm                         None, the classifier's input       ``layer4``; ViT: ``norm``,
                                                                    ``prefix_tokens=1``; Swin:
                                                                    ``norm``, ``channel_dim=-1``
    torchvision ResNet           None, or ``avgpool``               ``layer4``
    torchvision ViT              None                               ``encoder``, ``prefix_tokens=1``
    torchvision DeepLabV3        ``backbone``, ``pooling="mean"``   ``backbone``
    transformers, no classifier  ``""``, with ``pooling``           ``""``, its last hidden state
    ...ForSequenceClassification None (BERT, wav2vec2)              ``bert``, ``wav2vec2``, ...
    ...ForImageClassification    None                               ``vit``, ``prefix_tokens=1``
    ...ForAudioClassification    None                               ASTs:
                                                                    ``audio_spectrogram_transformer``,
                                                                    ``prefix_tokens=2``
    ...ForCausalLM, and LLaMA's  ``model``, ``pooling="last"``      ``model``
    torchaudio wav2vec2          ``encoder``, ``pooling="mean"``    ``encoder``
    ============================ ================================== ================================

    What has no classifier of its own gets one here, by ``classifier``; ``print(model)`` shows the
    names of all layers. It serves one thread at a time.

    Args:
        model: The network: it takes the modality's input (a dict as named arguments, a tuple as
            several) and returns logits, or what begins with or names them.
        layers: Where features, logits and maps are; None: the input of its classifier.
        classifier: A layer from features to logits, for a network that has none, such as
            ``torch.nn.Linear(768, 10)``; it takes a vector, as ``pooling`` gives it.

    Shape:
        - x: what the network takes; in a dict ``attention_mask`` tells tokens from padding, [N, L],
          or samples of a waveform, [N, S]
        - features: [N, D]; without ``pooling`` as the layer gives them: [N, D, H, W] of maps,
          [N, D, 1, L] of tokens
        - logits: [N, K, ...], those of tokens [N, K, 1, L]
        - maps: [N, C, H, W] or [N, C, 1, L]

    Raises:
        ValueError: If the network has no such layer, or it gives another shape.
        RuntimeError: On a forward pass, if a layer did not run.
        TypeError: On a forward pass, if the network returns no logits.

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
        layers = Layers() if layers is None else layers
        if not isinstance(layers, Layers):
            raise TypeError(f"layers={layers!r} must be a Layers, such as Layers('avgpool')")
        if classifier is not None and layers.logits is not None:
            raise ValueError(
                f"classifier is given, and logits={layers.logits!r} too: leave one of them out"
            )
        self.model = model
        self.classifier = classifier
        self._reader = LayerReader(model, layers)

    def forward(self, x: Any) -> Output:
        """The network's output, and what its layers gave on the way."""
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
        """Which of the layers' tokens are not padding."""
        mask: Tensor | None = x.get("attention_mask") if isinstance(x, Mapping) else None
        to_frames = "_get_feature_vector_attention_mask"
        net: Any = next((part for part in self.model.modules() if hasattr(part, to_frames)), None)
        if mask is None or net is None:
            return mask
        # Networks for waveforms get a mask of samples, and give a token for several hundred.
        tokens = int(net._get_feat_extract_output_lengths(torch.tensor(mask.shape[1])))
        found: Tensor = getattr(net, to_frames)(tokens, mask)
        return found
