from fdkd_lightning.losses.reduction import MeanOverChannels, SumOverChannels


def test_a_mean_stays_and_a_sum_is_d_times_it() -> None:
    assert [MeanOverChannels()(size) for size in (1, 512)] == [1, 1]
    assert [SumOverChannels()(size) for size in (1, 512)] == [1, 512]
