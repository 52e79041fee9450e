import copy
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from fdkd_lightning.models.layers import Layers
from fdkd_lightning.training.callback.host import Host


class Net(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        """Returns a sum."""
        return self(batch).sum()


class Configured(Net):
    def configure_model(self) -> None: ...


class Named(Net):
    """A class between may override it."""


def test_methods_are_replaced_in_one_module_and_restored() -> None:
    module, other = Net(), Net()
    host = Host(module)
    host.replace("training_step", lambda original, *args: ("replaced", original(*args)))
    x = torch.ones(1, 4)
    word, loss = module.training_step(x, 0)
    assert word == "replaced"
    assert torch.equal(loss, module(x).sum())
    assert module.training_step.__doc__ == "Returns a sum."
    assert other.training_step(x, 0).ndim == 0
    host.restore()
    assert "training_step" not in module.__dict__
    assert module.training_step(x, 0).ndim == 0


def test_a_method_that_was_assigned_to_the_module_is_restored() -> None:
    module = Net()
    module.training_step = lambda *args: "by hand"  # type: ignore[method-assign, return-value, assignment]  # as users do
    assigned = module.__dict__["training_step"]
    host = Host(module)
    host.replace("training_step", lambda original, *args: original(*args))
    host.restore()
    assert module.__dict__["training_step"] is assigned


@pytest.mark.parametrize(
    ("kind", "hook"), [(Net, "setup"), (Named, "setup"), (Configured, "configure_model")]
)
def test_the_last_setup_hook_is_the_one_after_which_all_layers_exist(
    kind: type[Net], hook: str
) -> None:
    assert Host(kind()).last_setup_hook() == hook


def test_layers_are_read_until_the_module_is_restored() -> None:
    module, x = Net(), torch.randn(2, 4)
    host = Host(module)
    assert not host.is_read
    host.read(Layers())
    assert host.is_read
    output = host.probe(x)
    torch.testing.assert_close(output.features, module.net[:2](x))
    torch.testing.assert_close(output.logits, module(x))
    host.restore()
    assert not host.is_read
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


def test_added_parts_are_moved_and_optimised_but_not_in_the_state_dict() -> None:
    module, parts = Net(), nn.Linear(2, 2)
    names, count = set(module.state_dict()), len([*module.parameters()])
    host = Host(module)
    host.add(parts)
    assert len([*module.parameters()]) == count + 2
    module.double()
    assert parts.weight.dtype == torch.float64
    state = module.state_dict()
    assert set(state) == names
    module.load_state_dict(state)
    with pytest.raises(RuntimeError, match=r"Missing key.*net\.0\.weight"):
        module.load_state_dict({name: x for name, x in state.items() if name != "net.0.weight"})
    host.restore()
    assert len([*module.parameters()]) == count
    module.load_state_dict(state)


def test_a_module_is_wrapped_once_at_a_time() -> None:
    module = Net()
    host = Host(module)
    host.replace("setup", lambda original, *args: original(*args))
    with pytest.raises(
        ValueError, match=r"another DistillationCallback is training Net: .* CompositeLoss"
    ):
        Host(module)
    host.restore()
    Host(module)


def test_modules_of_the_package_pytorch_lightning_are_wrapped_too() -> None:
    import pytorch_lightning

    class Other(pytorch_lightning.LightningModule):
        def configure_model(self) -> Any: ...

    class Plain(pytorch_lightning.LightningModule): ...

    assert Host(Other()).last_setup_hook() == "configure_model"  # type: ignore[arg-type]  # another's
    assert Host(Plain()).last_setup_hook() == "setup"  # type: ignore[arg-type]  # another's


def test_a_copy_has_the_original_methods() -> None:
    module = Net()
    host = Host(module)
    host.replace("training_step", lambda original, *args: "replaced")
    twin = copy.deepcopy(module)
    assert module.training_step(torch.ones(1, 4), 0) == "replaced"  # type: ignore[comparison-overlap]
    assert torch.equal(twin.training_step(torch.ones(1, 4), 0), twin(torch.ones(1, 4)).sum())


def test_layers_that_replace_others_of_the_same_name_are_followed() -> None:
    module, x = Net(), torch.randn(2, 4)
    host = Host(module)
    host.read(Layers())
    module.net[2] = nn.Linear(8, 3)
    with pytest.raises(RuntimeError, match="did not run"):
        host.probe(x)
    host.follow()
    torch.testing.assert_close(host.probe(x).logits, module(x))


def test_a_tuple_is_several_arguments_of_forward() -> None:
    class Two(Net):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]  # another's
            return self.net(x + y)

    module, x = Two(), torch.randn(2, 4)
    host = Host(module)
    host.read(Layers())
    torch.testing.assert_close(host.probe((x, x)).logits, module(x, x))
    with pytest.raises(ValueError, match=r"missing a required argument: 'y'.*as a tuple"):
        host.probe(x)


def test_a_module_without_forward_is_an_error() -> None:
    class NoForward(Net):
        forward = LightningModule.forward

    host = Host(NoForward())
    host.read(Layers())
    with pytest.raises(ValueError, match="NoForward has no forward that takes student_input"):
        host.probe(torch.randn(2, 4))
