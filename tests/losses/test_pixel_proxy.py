import torch
from torch import nn

from fdkd_lightning.losses.pixel_proxy import PixelProxy


def test_each_position_is_classified_alone() -> None:
    torch.manual_seed(0)
    proxy = PixelProxy(4, 3, nn.LeakyReLU(0.1)).double().eval()
    nn.init.normal_(proxy.classifier.bias)
    x = torch.randn(2, 4, 3, 5, dtype=torch.float64)
    scores = proxy(x, torch.ones(2, 3, 5, dtype=torch.bool))
    for n, i, j in ((0, 0, 0), (1, 2, 3)):
        hidden = proxy.linear.weight @ x[n, :, i, j] / (1 + 1e-5) ** 0.5
        expected = proxy.classifier(torch.where(hidden > 0, hidden, 0.1 * hidden))
        torch.testing.assert_close(scores[n, :, i, j], expected, rtol=0, atol=1e-12)


def test_statistics_are_those_of_the_positions_that_count() -> None:
    proxy = PixelProxy(4, 3, nn.ReLU())
    x = torch.randn(1, 4, 2, 2)
    counted = torch.tensor([[[True, True], [False, True]]])
    other = x.clone()
    other[0, :, 1, 0] = 100
    assert torch.equal(proxy(x, counted)[..., 0, :], proxy(other, counted)[..., 0, :])


def test_the_activation_is_its_own() -> None:
    activation = nn.PReLU()
    assert PixelProxy(4, 3, activation).activation is not activation
