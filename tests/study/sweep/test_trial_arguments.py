from typing import Any

import pytest

from fdkd_lightning.study.sweep.trial_arguments import trial_arguments

PROGRAM = {"program": "fdkd"}
VALUES = {"model.lr": 0.1, "flag": False, "none": None, "data": {"size": 1}}


@pytest.mark.parametrize("macro", ["args", "args_no_equals"])
def test_the_arguments_are_those_of_wandbs_agent(
    monkeypatch: pytest.MonkeyPatch, macro: str
) -> None:
    from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

    monkeypatch.setenv("WANDB_RUN_ID", "seven")
    # W&B leaves a variable of the shell as it is: fdkd expands it.
    command = ["fdkd", "fit", "--a=$WANDB_RUN_ID", "--b=${envvar:WANDB_RUN_ID}", f"${{{macro}}}"]
    theirs = create_sweep_command_args({"args": {k: {"value": v} for k, v in VALUES.items()}})
    expected = [*create_sweep_command([*command])[:-1], *theirs[macro]]
    assert trial_arguments(PROGRAM | {"command": command}, VALUES) == expected[1:]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (None, "command=None must be a list"),
        (["${interpreter}", "fdkd"], r"command: \$\{interpreter\} is not known here, use \$\{env"),
        (["${program}", "test"], "command begins with 'fdkd test', not 'fdkd fit'"),
        (["python", "train.py"], "command begins with 'python train.py'"),
    ],
)
def test_another_command_is_refused(command: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        trial_arguments(PROGRAM | {"command": command}, {})
