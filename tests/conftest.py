"""Fixtures that several rooms share."""

import gc
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

# Torch, Lightning and the package are imported where they are used: the process that hands out the
# tests imports this file, too, and needs none of them.

SHORT = (
    "--trainer.accelerator=cpu",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--trainer.max_epochs=1",
    "--trainer.limit_train_batches=2",
    "--data.train_size=100",
    "--data.labelled=20",
    # It takes the longest of all that is done to the digits.
    "--data.audio_snr=null",
)

# While modules are imported there is next to no garbage, and afterwards what they hold need not be
# searched for it again and again: a fifth of the time.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """The networks are tiny, and the workers' threads would wait for each other."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _one_parser() -> Iterator[None]:
    """The parsers of each command are made once: they are the same whatever the arguments."""
    from fdkd_lightning.training.command import FDKDCLI

    made: dict[Any, tuple[Any, ...]] = {}
    names = ("parser", "_subcommand_parsers", "_subcommand_method_arguments")
    make = FDKDCLI.setup_parser

    def setup(cli: Any, *args: Any) -> None:
        key = type(cli), cli.trainer_class, *cli.subcommands()
        # Help lists the classes that are imported when the parser is made, and a parser that was to
        # print its configuration but failed would print that of the next command.
        own = any(word in given for given in cli._command for word in ("help", "print_config"))
        if own or key not in made:
            make(cli, *args)
        if not own:
            made.setdefault(key, tuple(getattr(cli, name, None) for name in names))
            for name, value in zip(names, made[key], strict=True):
                setattr(cli, name, value)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FDKDCLI, "setup_parser", setup)
        yield


@pytest.fixture(scope="session")
def digits_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the audio-visual digits, made once per session."""
    from fdkd_lightning.data.embedded.digits import AVDigits

    folder = common_folder(tmp_path_factory) / "digits"
    # Each worker could build them, but that takes ten seconds.
    with FileLock(f"{folder}.lock"):
        AVDigits(folder).prepare_data()
    return folder


@pytest.fixture(scope="session")
def demo_runs(shared_folder: Path, digits_root: Path) -> Path:
    """A folder with one short run of each network of configs/demo, all paths as in the YAML."""
    from fdkd_lightning.training.command import FDKDCLI

    folder = shared_folder / "demo_runs"
    with FileLock(f"{folder}.lock"), pytest.MonkeyPatch.context() as patch:
        if not folder.exists():
            parts = shared_folder / "demo_runs_in_parts"
            parts.mkdir()
            patch.chdir(parts)
            patch.setattr(sys, "argv", ["fdkd"])
            for name in ("unimodal_audio", "unimodal_visual", "distill_audio", "distill_visual"):
                config = Path(__file__).parents[1] / f"configs/demo/{name}.yaml"
                FDKDCLI(["fit", f"--config={config}", f"--data.root={digits_root}", *SHORT])
            parts.rename(folder)
    return folder


@pytest.fixture(scope="session")
def emoji_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the emoji, drawn once per session."""
    from fdkd_lightning.data.embedded.emoji import Emoji

    folder = common_folder(tmp_path_factory) / "emoji"
    with FileLock(f"{folder}.lock"):
        Emoji(folder).prepare_data()
    return folder


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The temporary folder that the workers of this session share."""
    return common_folder(tmp_path_factory)


@pytest.fixture(scope="session")
def in_processes() -> Callable[..., None]:
    """Runs a script once for each rank, at once, each with the arguments and its rank.

    The processes are forked from one that did nothing but import the package, which takes seconds.
    A copy of the test's own process would be ready at once, but locks of its threads can stay shut.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["fdkd_lightning.training.distillation"])

    def run(script: str, *arguments: str | Path, ranks: int = 2) -> None:
        processes = []
        for rank in range(ranks):
            argv = ["-c", *map(str, arguments), str(rank)]
            # By name the function of a test file could not be found there.
            code = f"import sys, torch\ntorch.set_num_threads(1)\nsys.argv = {argv!r}\n{script}"
            processes.append(context.Process(target=exec, args=(code, {"__name__": "__main__"})))
        for process in processes:
            process.start()
        for process in processes:
            process.join(300)
        codes = [process.exitcode for process in processes]
        # One that waits for another forever ends here.
        for process in processes:
            process.kill()
        assert codes == [0] * ranks

    return run


ON_A_RANK = """
import importlib.util, os, pathlib, sys
from lightning.pytorch.utilities import rank_zero_only
path, names, folder, port, rank = sys.argv[1:]
rank_zero_only.rank = int(rank)  # as an import sets it where the variables below are given
os.environ.pop("PL_GLOBAL_SEED", None)  # another test's, to which Lightning resets in DDP alone
# As torchrun and Lightning's own launcher set them.
os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "LOCAL_RANK": rank}
spec = importlib.util.spec_from_file_location("on_a_rank", path)
tests = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tests)
for name in names.split(","):
    getattr(tests, name)(int(rank), pathlib.Path(folder))
"""


@pytest.fixture(scope="session")
def on_two_ranks(in_processes: Callable[..., None]) -> Callable[..., None]:
    """Calls functions of a test file with the rank and a folder, on two ranks at once."""
    from lightning.fabric.plugins.environments.lightning import find_free_network_port

    def run(folder: Path, *functions: Callable[[int, Path], None]) -> None:
        file = functions[0].__code__.co_filename
        names = ",".join(function.__name__ for function in functions)
        in_processes(ON_A_RANK, file, names, folder, str(find_free_network_port()))

    return run


def common_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The temporary folder that the workers of this session share."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
