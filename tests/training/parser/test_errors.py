from pathlib import Path

import pytest

from fdkd_lightning.training.parser.errors import explain

NAMES = ["config", "trainer.max_epochs", "trainer.devices", "model", "data"]


def test_an_unknown_argument_of_a_class_names_value_near_name_and_place() -> None:
    message = "Problem with given class_path 'torch.optim.SGD':\n  Option 'lrr' is not accepted"
    message = f'Parser key "optimizer":\n  {message}'
    assert explain(message, ["fit", "--model.optimizer.lrr=0.1"]).splitlines() == [
        "model.optimizer.lrr=0.1: SGD has no argument 'lrr': did you mean lr?",
        "  given on the command line",
    ]


@pytest.mark.parametrize(
    ("message", "given", "parts"),
    [
        ("Subcommand 'fit' does not accept option 'trainr.x'", [], ["trainr", "mean trainer?"]),
        (
            "unrecognized arguments: --trainer.devicez=2",
            ["--trainer.devicez=2"],
            ["trainer.devicez=2", "did you mean trainer.devices?", "on the command line"],
        ),
        ("unrecognized arguments: surplus", ["surplus"], ["'surplus'", "--KEY=VALUE"]),
        ('Parser key "trainer": Unable to load config "x"', [], ["trainer", "x", "a mapping"]),
        (
            "Parser key \"config\": File does not exist: '/nope/a.yaml'",
            [],
            ["/nope/a.yaml", "does not exist"],
        ),
        (
            "Parser key \"p\":\n  Expected a typing.Literal['last', 'best']. Got value: lst",
            ["--p=lst"],
            ["p=lst", "last or best", "did you mean last?"],
        ),
        (
            "Problem with given class_path 'mine.A':\n  the following arguments are required: b",
            [],
            ["A needs b"],
        ),
        (
            'Parser key "model.optimizer":\n  Type typing.Callable[[x], y] expects a function or a '
            "callable class: Option 'lr' is not accepted. Got value: Namespace("
            "class_path='torch.optim.Optimizer', init_args=Namespace(lr='0.05'))",
            ["--model.optimizer.lr=0.05"],
            ["model.optimizer.lr=0.05: ", "--model.optimizer=torch.optim.SGD --model.optimizer.lr"],
        ),
        (
            'Parser key "model.lr_scheduler":\n  Type typing.Callable[[x], y] expects a function '
            "or a callable class: Option 'T_max' is not accepted. Got value: Namespace("
            "class_path='typing.Union', init_args=Namespace(T_max='5'))",
            ["--model.lr_scheduler.T_max=5"],
            ["--model.lr_scheduler=torch.optim.lr_scheduler.CosineAnnealingLR --model.lr_sch"],
        ),
        ("batch_size=-1 must be at least 1", ["--data.batch_size=-1"], ["data.batch_size=-1 is"]),
    ],
)
def test_each_error_names_key_value_and_remedy(
    message: str, given: list[str], parts: list[str]
) -> None:
    text = explain(message, given, NAMES)
    assert len(text.splitlines()) <= 5
    for part in parts:
        assert part in text


def test_yaml_that_cannot_be_read_names_file_line_and_fault(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("model:\n\tx: 1\n")
    text = explain("Problems parsing config:\n  while scanning", [f"--config={path}"])
    assert text.startswith(f"config={path}, line 2: found character '\\t'")
