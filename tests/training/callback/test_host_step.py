from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN

from fdkd_lightning.losses import FeatureLoss, LayerwiseLoss
from fdkd_lightning.models.feature_model import FeatureModel
from fdkd_lightning.models.layers import Layers
from fdkd_lightning.training.callback.batch_keys import BatchInputs
from fdkd_lightning.training.callback.host import Host
from fdkd_lightning.training.callback.host_step import HostStep
from fdkd_lightning.training.distillation_step import DistillationStep
from fdkd_lightning.training.distiller import Distiller
from fdkd_lightning.training.teachers import FrozenTeachers
from fdkd_lightning.types import Output


class Teacher(nn.Module):
    def forward(self, x: Tensor) -> Output:
        return Output(x, x[:, :3])


class Net(LightningModule):
    """Logs into a dict, without a trainer."""

    def __init__(self, automatic: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 3))
        self.automatic_optimization = automatic
        self.logged: dict[str, Tensor] = {}
        self._trainer: Any = SimpleNamespace(optimizers=[None])

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.net(batch["image"]).square().mean()

    def manual_backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        loss.backward()

    def log_dict(self, values: Any, **settings: Any) -> None:
        self.logged |= values


def batch() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    image, audio = (torch.randn(4, size, generator=generator) for size in (4, 8))
    return {"image": image, "audio": audio, "label": torch.arange(4) % 3}


def wrapped(module: Net, backward: int | None = None, task_weight: float | None = 1.0) -> HostStep:
    host = Host(module)
    host.read(Layers())
    step = DistillationStep(
        FrozenTeachers({"audio": Teacher()}), Distiller(FeatureLoss(), ["audio"])
    )
    return HostStep(host, step, BatchInputs(["audio"], {}, "label"), backward, task_weight)


def expected(module: Net) -> Tensor:
    return (module.net[0](batch()["image"]) - batch()["audio"]).square().mean()


def test_the_terms_are_added_to_the_loss_and_logged() -> None:
    module = Net()
    step = wrapped(module)
    total = step.training_step(module.training_step, batch(), 0)
    term = expected(module)
    torch.testing.assert_close(total, module.training_step(batch(), 0) + term)
    torch.testing.assert_close(module.logged, {"distillation/feature": term.detach()})


@pytest.mark.parametrize("weight", [None, 0.25])
def test_the_modules_own_loss_is_weighted_or_left_out(weight: float | None) -> None:
    module = Net()
    total = wrapped(module, task_weight=weight).training_step(module.training_step, batch(), 0)
    own = module.training_step(batch(), 0)
    torch.testing.assert_close(total, (weight or 0) * own + expected(module))


class Detector(LightningModule):
    """Torchvision's detectors compute losses within forward, of lists of images and boxes."""

    def __init__(self, detector: type[nn.Module], channels: int) -> None:
        super().__init__()
        torch.manual_seed(channels)
        convolutions = (nn.Conv2d(c, c + 1, 3, 2, 1) for c in (channels, channels + 1))
        stages = nn.Sequential(*convolutions)
        levels = [channels + 1, channels + 2]
        pyramid = BackboneWithFPN(stages, {"0": "0", "1": "1"}, levels, 8)
        scale = {"image_mean": [0.0] * channels, "image_std": [1.0] * channels}
        anchors = AnchorGenerator(((8,), (16,), (32,)), ((1.0,),) * 3)
        name = "anchor_generator" if detector is RetinaNet else "rpn_anchor_generator"
        self.net = detector(pyramid, 3, min_size=16, max_size=16, **scale, **{name: anchors})

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        torch.manual_seed(0)  # Faster R-CNN draws proposals
        return sum(self.net(batch["image"], batch["objects"]).values())

    def log_dict(self, values: Any, **settings: Any) -> None:
        self.logged = values


@pytest.mark.parametrize("detector", [RetinaNet, FasterRCNN])
def test_levels_of_a_detectors_pyramid_are_compared(detector: type[nn.Module]) -> None:
    module, teacher = Detector(detector, 3), Detector(detector, 1)
    levels = "backbone.fpn.layer_blocks"
    host = Host(module)
    host.read(Layers(f"net.{levels}.0", logits=False, maps=[f"net.{levels}.*"]))
    model = FeatureModel(teacher.net, Layers(f"{levels}.0", logits=False, maps=[f"{levels}.*"]))
    step = DistillationStep(
        FrozenTeachers({"depth": model}),
        Distiller(LayerwiseLoss(FeatureLoss(), [0, 1], positions="resize"), ["depth"]),
    )
    objects = {"boxes": torch.tensor([[2.0, 2.0, 9.0, 9.0]]), "labels": torch.tensor([1])}
    image, depth = ([torch.rand(c, 16, 16) for _ in range(2)] for c in (3, 1))
    batch = {"image": image, "depth": depth, "objects": [objects, objects]}
    added = HostStep(host, step, BatchInputs(["depth"], {}, None), None)
    total = added.training_step(module.training_step, batch, 0)
    student, teaching = (
        [*net.backbone(net.transform(x)[0].tensors).values()]
        for net, x in ((module.net, image), (teacher.net, depth))
    )
    terms = {
        f"distillation/stage{i}/feature": (student[i] - teaching[i]).square().mean().detach()
        for i in range(2)
    }
    torch.testing.assert_close(module.logged, terms)
    own = module.training_step(batch, 0)
    torch.testing.assert_close(total.detach(), own.detach() + sum(terms.values()))
    total.backward()
    grads = [module.net.get_submodule(f"{levels}.{i}")[0].weight.grad for i in range(2)]
    assert all(grad is not None and grad.any() for grad in grads)


def test_the_loss_may_be_in_a_dict_and_a_step_may_skip_its_batch() -> None:
    module = Net()
    step = wrapped(module)
    loss = module.training_step(batch(), 0)

    def in_dict(batch: Any, batch_idx: int) -> Any:
        return {"loss": module.training_step(batch, batch_idx), "more": 1}

    result = step.training_step(in_dict, batch=batch(), batch_idx=0)
    torch.testing.assert_close(result, {"loss": loss + expected(module), "more": 1})
    assert step.training_step(lambda *_: None, batch(), 0) is None


def test_a_backward_outside_of_a_step_is_the_modules_own() -> None:
    module = Net(automatic=False)
    seen: list[Tensor] = []
    wrapped(module).manual_backward(seen.append, torch.ones(()))
    assert seen == [torch.ones(())]


@pytest.mark.parametrize("backward", [None, 0, 1])
def test_one_backward_of_a_step_gets_the_terms(backward: int | None) -> None:
    module = Net(automatic=False)
    step = wrapped(module, backward)
    losses: list[Tensor] = []

    def training_step(batch: Any, batch_idx: int) -> None:
        for _ in range(3):
            step.manual_backward(losses.append, module.net(batch["image"]).square().mean())

    step.training_step(training_step, batch(), 0)
    loss, term = module.training_step(batch(), 0), expected(module)
    for i, found in enumerate(losses):
        torch.testing.assert_close(found, loss + term if i == (backward or 0) else loss)


def test_of_several_optimizers_a_loss_of_another_network_gets_no_terms() -> None:
    module = Net(automatic=False)
    module._trainer.optimizers = [None, None]
    step = wrapped(module)
    losses: list[Tensor] = []

    def training_step(batch: Any, batch_idx: int) -> None:
        loss = module.net(batch["image"]).square().mean()
        step.manual_backward(losses.append, torch.ones((), requires_grad=True))
        step.manual_backward(losses.append, loss)

    step.training_step(training_step, batch(), 0)
    assert losses[0] == 1
    torch.testing.assert_close(losses[1], module.training_step(batch(), 0) + expected(module))


@pytest.mark.parametrize("backward", [None, 4])
def test_a_step_without_a_backward_for_the_terms_is_an_error(backward: int | None) -> None:
    module = Net(automatic=False)
    step = wrapped(module, backward)

    def training_step(batch: Any, batch_idx: int) -> None:
        module.net(batch["image"]).sum().backward()

    with pytest.raises(RuntimeError, match=r"none of the 0 calls .* loss\.backward\(\)"):
        step.training_step(training_step, batch(), 0)


def test_an_epoch_without_a_gradient_for_the_student_is_an_error() -> None:
    module = Net()
    step = wrapped(module)
    step.training_step(module.training_step, batch(), 0)
    step.check_epoch()
    step.start_epoch()
    with torch.no_grad():
        step.training_step(module.training_step, batch(), 0)
    with pytest.raises(
        RuntimeError, match=r"in a whole epoch no term in the loss of Net .*'net\.1'"
    ):
        step.check_epoch()


def test_values_are_checked_once_a_run() -> None:
    module = Net()
    step = wrapped(module)
    step.training_step(module.training_step, batch(), 0)
    nn.init.constant_(module.net[0].bias, torch.nan)
    step.training_step(module.training_step, batch(), 0)
    step.host.restore()
    again = wrapped(module)
    with pytest.raises(ValueError, match="student's features are NaN"):
        again.training_step(module.training_step, batch(), 0)
