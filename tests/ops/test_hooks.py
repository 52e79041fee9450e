from torch import nn

from fdkd_lightning.ops.hooks import has_hooks


def test_hooks_and_a_forward_of_its_own_are_found() -> None:
    forward, before, backward, patched, plain = (nn.Linear(1, 1) for _ in range(5))
    forward.register_forward_hook(lambda *_: None)
    before.register_forward_pre_hook(lambda *_: None)
    backward.register_full_backward_hook(lambda *_: None)
    patched.forward = plain.forward
    assert [has_hooks(x) for x in (forward, before, backward, patched)] == [True] * 4
    assert not has_hooks(plain, nn.Linear(1, 1))
    assert has_hooks(plain, patched)
