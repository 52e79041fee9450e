import copy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.strategies import (
    DDPStrategy,
    DeepSpeedStrategy,
    FSDPStrategy,
    ModelParallelStrategy,
    SingleDeviceStrategy,
)
from torch import Tensor, nn

from fdkd_lightning.models.layers import Layers
from fdkd_lightning.training.callback.host import Host, check_strategy


class Own(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        """Somebody's docstring."""
        return self(batch).sum()


class Configured(Own):
    def configure_model(self) -> None: ...


class Named(Own):
    """A class between may override it."""


def test_methods_are_replaced_for_one_module_and_put_back() -> None:
    module, other = Own(), Own()
    host = Host(module)
    host.replace("training_step", lambda own, *args: ("replaced", own(*args)))
    x = torch.ones(1, 4)
    word, loss = module.training_step(x, 0)
    assert word == "replaced"
    assert torch.equal(loss, module(x).sum())
    assert module.training_step.__doc__ == "Somebody's docstring."
    assert other.training_step(x, 0).ndim == 0
    host.leave()
    assert "training_step" not in module.__dict__
    assert module.training_step(x, 0).ndim == 0


def test_a_method_that_was_the_modules_own_comes_back() -> None:
    module = Own()
    module.training_step = lambda *args: "by hand"  # type: ignore[method-assign, return-value, assignment]  # as users do
    own = module.__dict__["training_step"]
    host = Host(module)
    host.replace("training_step", lambda own, *args: own(*args))
    host.leave()
    assert module.__dict__["training_step"] is own


@pytest.mark.parametrize(
    ("kind", "hook"), [(Own, "setup"), (Named, "setup"), (Configured, "configure_model")]
)
def test_the_hook_after_which_all_layers_are_there(kind: type[Own], hook: str) -> None:
    assert Host(kind()).last_of_setup() == hook


def test_its_layers_are_read_until_it_is_left() -> None:
    module, x = Own(), torch.randn(2, 4)
    host = Host(module)
    assert not host.is_read
    host.read(Layers())
    assert host.is_read
    output = host.as_model()(x)
    torch.testing.assert_close(output.features, module.net[:2](x))
    torch.testing.assert_close(output.logits, module(x))
    host.leave()
    assert not host.is_read
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


def test_parts_move_and_are_optimised_with_it_but_in_none_of_its_files() -> None:
    module, parts = Own(), nn.Linear(2, 2)
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
    host.leave()
    assert len([*module.parameters()]) == count
    module.load_state_dict(state)


def test_a_module_has_one_guest_at_a_time() -> None:
    module = Own()
    host = Host(module)
    host.replace("setup", lambda own, *args: own(*args))
    with pytest.raises(ValueError, match=r"Own is taught by another .* CompositeLoss"):
        Host(module)
    host.leave()
    Host(module)


def test_hosts_of_the_other_package_are_hosts_too() -> None:
    import pytorch_lightning

    class Other(pytorch_lightning.LightningModule):
        def configure_model(self) -> Any: ...

    class Plain(pytorch_lightning.LightningModule): ...

    assert Host(Other()).last_of_setup() == "configure_model"  # type: ignore[arg-type]  # another's
    assert Host(Plain()).last_of_setup() == "setup"  # type: ignore[arg-type]  # another's


@pytest.mark.parametrize("kind", [SingleDeviceStrategy, DDPStrategy])
def test_strategies_that_keep_the_module_whole_are_taken(kind: type) -> None:
    check_strategy(SimpleNamespace(strategy=object.__new__(kind)))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [FSDPStrategy, DeepSpeedStrategy, ModelParallelStrategy])
def test_strategies_that_split_the_module_are_refused(kind: type) -> None:
    message = rf"{kind.__name__} splits the module.*strategy='ddp'"
    with pytest.raises(ValueError, match=message):
        check_strategy(SimpleNamespace(strategy=object.__new__(kind)))  # type: ignore[arg-type]


def test_a_copy_has_its_own_methods() -> None:
    module = Own()
    host = Host(module)
    host.replace("training_step", lambda own, *args: "taught")
    twin = copy.deepcopy(module)
    assert module.training_step(torch.ones(1, 4), 0) == "taught"  # type: ignore[comparison-overlap]
    assert torch.equal(twin.training_step(torch.ones(1, 4), 0), twin(torch.ones(1, 4)).sum())


def test_layers_of_the_same_name_are_followed() -> None:
    module, x = Own(), torch.randn(2, 4)
    host = Host(module)
    host.read(Layers())
    module.net[2] = nn.Linear(8, 3)
    with pytest.raises(RuntimeError, match="did not run"):
        host.as_model()(x)
    host.follow()
    torch.testing.assert_close(host.as_model()(x).logits, module(x))
