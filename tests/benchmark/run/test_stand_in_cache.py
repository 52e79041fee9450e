from pathlib import Path

import torch
from torch import nn

from fdkd_lightning.benchmark.run.stand_in_cache import LastOutput, row_bytes, write_stand_in
from fdkd_lightning.types import Output

OUTPUT = Output(torch.rand(4, 8), torch.rand(4, 3), (torch.rand(4, 2, 5, 5),))


def test_any_id_has_a_row_of_the_batch(tmp_path: Path) -> None:
    cached = write_stand_in(tmp_path / "audio", OUTPUT, maps=True)
    cached.load()
    found = cached(torch.tensor([9, 2]))
    assert torch.equal(found.features, OUTPUT.features[[1, 2]])
    assert torch.equal(found.maps[0], OUTPUT.maps[0][[1, 2]])
    assert cached.present(torch.tensor([9])) is None


def test_maps_are_left_out_unless_asked_for(tmp_path: Path) -> None:
    output = OUTPUT._replace(logits=OUTPUT.logits.bfloat16())
    cached = write_stand_in(tmp_path / "audio", output, maps=False)
    found = cached(torch.tensor([0]))
    assert found.maps == ()
    assert found.logits.dtype == torch.bfloat16


def test_bytes_are_those_of_float32() -> None:
    assert row_bytes(OUTPUT, maps=False) == 4 * (8 + 3)
    assert row_bytes(OUTPUT, maps=True) == 4 * (8 + 3 + 50)


def test_the_last_output_is_kept_until_it_is_removed() -> None:
    class Net(nn.Module):
        def forward(self, x: torch.Tensor) -> Output:
            return Output(x, x)

    net = Net()
    last = LastOutput(net)
    net(torch.zeros(1, 2))
    kept = net(torch.ones(1, 2))
    assert last.output is kept
    last.remove()
    net(torch.zeros(1, 2))
    assert last.output is kept
