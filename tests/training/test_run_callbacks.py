from lightning.pytorch import Callback

from fdkd_lightning.training.monitor.live_progress import LiveProgress
from fdkd_lightning.training.run_callbacks import run_callbacks


def test_a_chosen_live_progress_is_the_only_one() -> None:
    own, other = LiveProgress(seconds=2), Callback()
    for chosen in (own, [other, own]):
        found = run_callbacks(chosen)
        assert [x for x in found if isinstance(x, LiveProgress)] == [own]
    assert run_callbacks([other])[-1] is other
