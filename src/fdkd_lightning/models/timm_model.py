"""Networks of timm for images, frames and spectrograms."""

from collections.abc import Mapping
from typing import Any, get_args

import timm
import torch
from torch import Tensor, nn

from fdkd_lightning.models.frame_folding import Frames, average_frames, fold_frames
from fdkd_lightning.models.pretrained import FETCH_ONCE, DeferredModel
from fdkd_lightning.models.weight_checks import check_weights
from fdkd_lightning.ops.checks import check_choice, check_count, check_flags
from fdkd_lightning.ops.near_names import did_you_mean
from fdkd_lightning.types import Output


class TimmModel(DeferredModel):
    """Any classifier of timm by its name, with its intermediate maps.

    The features are the input of the classifier. The maps are those of the last four stages, or
    after each quarter of the blocks if the network keeps one resolution (ViT).

    :meth:`load`, which the modules call once, before they train or evaluate, reads the published
    weights of all layers but the classifier from the hub or its cache; not after a checkpoint has
    brought its own, so that testing one downloads nothing. Call ``load()`` yourself if you use no
    module of this package.

    Args:
        name: A name of ``timm.list_models()``, such as ``mobilenetv2_100``; a tag after a dot
            selects weights: ``vit_base_patch16_224.augreg_in21k``.
        num_classes: Number of classes K.
        in_chans: Channels of the input: 3 for images, 1 for spectrograms, 3 T for T stacked frames;
            timm adapts published weights to them.
        pretrained: Let :meth:`load` read the published weights; else they stay random.
        frames: Run each frame and average (``"average"``), or treat frames as channels
            (``"stack"``), as in :class:`~fdkd_lightning.models.ResNet`.

    Shape:
        - x: images [N, in_chans, H, W], or frames: [N, T, in_chans, H, W] with ``"average"``,
          [N, T, in_chans / T, H, W] with ``"stack"``
        - features: [N, D]
        - logits: [N, K]
        - maps: up to four, [N, C, H', W']

    Raises:
        TypeError: If a number is no whole number.
        ValueError: If timm has no such network, the network has several classifiers, ``frames`` is
            unknown, or a number is below 1; by a forward pass, if the input's channels are not
            ``in_chans``.
        RuntimeError: By :meth:`load`, if the published weights cannot be read.

    Reference:
        Wightman, "PyTorch Image Models", huggingface/pytorch-image-models.

    Example:
        >>> output = TimmModel("mobilenetv2_035", num_classes=5)(torch.randn(2, 3, 64, 64))
        >>> output.features.shape, output.logits.shape, len(output.maps)
        (torch.Size([2, 1280]), torch.Size([2, 5]), 4)
    """

    net: Any

    def __init__(
        self,
        name: str,
        num_classes: int,
        in_chans: int = 3,
        pretrained: bool = False,
        frames: Frames = "average",
    ) -> None:
        super().__init__()
        check_choice("frames", frames, get_args(Frames))
        if not isinstance(name, str):
            raise TypeError(f"name={name!r} must be a name, such as 'resnet18'")
        check_count("num_classes", num_classes, example=10)
        check_count("in_chans", in_chans, example=3)
        check_flags(pretrained=pretrained)
        self.name = name
        self.num_classes = num_classes
        self.in_chans = in_chans
        self.pretrained = pretrained
        self.frames = frames
        self.net = self._create(pretrained=False)
        self._stages = _stages(self.net)
        if not isinstance(self.net.get_classifier(), nn.Module):
            raise ValueError(
                f"name={name!r} has more than one classifier: choose a network with one, such as "
                f"{name.replace('_distilled', '')!r}"
            )

    def load(self) -> None:
        """Read the published weights, if ``pretrained``."""
        if not self.pretrained:
            return
        source = f"the published weights of {self.name!r}"
        try:
            # Creating the network consumes random numbers.
            with torch.random.fork_rng(devices=[]):
                weights = self._create(pretrained=True).state_dict()
        except Exception as error:  # of the network, the hub's or timm's own
            raise RuntimeError(f"{source} cannot be read ({error}): {FETCH_ONCE}") from error
        check_weights(source, weights, self.net.state_dict())
        self.net.load_state_dict(weights)

    def self_contained(self) -> dict[str, Any]:
        """Do not read the published weights."""
        return {"pretrained": False}

    @classmethod
    def looked_up_by(cls, arguments: Mapping[str, Any]) -> tuple[str, str] | None:
        """Names with a colon, such as ``hf-hub:owner/name``, are looked up by timm."""
        return ("name", "timm") if ":" in str(arguments.get("name")) else None

    def forward(self, x: Tensor) -> Output:
        """Return features, logits and maps."""
        x, parts = fold_frames(x, self.frames, self.in_chans)
        last, maps = self.net.forward_intermediates(x, indices=self._stages)
        features = average_frames(self.net.forward_head(last, pre_logits=True), parts)
        logits = self.net.get_classifier()(features)
        return Output(features, logits, tuple(average_frames(stage, parts) for stage in maps))

    def _create(self, pretrained: bool) -> Any:
        if ":" not in self.name and not timm.is_model(self.name):
            meant = did_you_mean(self.name, timm.list_models())
            raise ValueError(
                f"timm has no network name={self.name!r}: {meant or 'choose another'} "
                "(timm.list_models('*vit*') lists them)"
            )
        return timm.create_model(
            self.name, pretrained, num_classes=self.num_classes, in_chans=self.in_chans
        )


def _stages(net: Any) -> list[int]:
    """Return the indices of the intermediate maps to use."""
    reductions = [stage["reduction"] for stage in net.feature_info]
    total = len(reductions)
    count = min(4, total)
    if len(set(reductions)) == 1:
        return [(i + 1) * total // count - 1 for i in range(count)]
    return list(range(total - count, total))
