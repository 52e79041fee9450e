from lightning.pytorch.profilers import SimpleProfiler

from fdkd_lightning.training.monitor.loader_wait import LoaderWait, is_loading

NEXT = "[_TrainingEpochLoop].train_dataloader_next"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_share_is_that_of_the_epoch_without_validation() -> None:
    clock = Clock()
    wait = LoaderWait(clock)
    wait.start_epoch()
    wait.start(NEXT)
    clock.now = 3.0
    wait.stop(NEXT)
    wait.start("[Strategy]SingleDeviceStrategy.training_step")
    clock.now = 4.0
    wait.stop("[Strategy]SingleDeviceStrategy.training_step")
    assert wait.share() == 3 / 4
    wait.pause()
    clock.now = 100.0
    wait.resume()
    assert wait.share() == 3 / 4
    wait.start_epoch()
    assert wait.share() == 0
    clock.now = 101.0
    assert wait.share() == 0


def test_the_profiler_goes_on_and_is_left_as_it_was() -> None:
    wait, profiler = LoaderWait(Clock()), SimpleProfiler()
    wait.attach(profiler)
    with profiler.profile(NEXT):
        pass
    wait.detach()
    wait.detach()
    assert [*profiler.recorded_durations] == [NEXT]
    assert not {"start", "stop"} & vars(profiler).keys()


def test_only_the_training_loader_is_waited_for() -> None:
    assert not is_loading("[_EvaluationLoop].val_next")
