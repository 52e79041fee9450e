from pathlib import Path

import pytest

from fdkd_lightning.training.errors import clip, explain, explain_exception, with_place

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


def raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


def test_an_exception_of_other_code_has_its_type_and_line() -> None:
    lines = explain_exception(raised(ZeroDivisionError("x\n" * 30)), []).splitlines()
    assert lines[0] == "ZeroDivisionError: x"
    assert __file__ in "\n".join(lines)
    assert lines[-1] == "  add --debug for the traceback"
    assert len(lines) <= 4
    assert explain_exception(raised(ValueError()), []).startswith("ValueError\n")
    # The text of a KeyError is not quoted.
    assert "KeyError: no x" in explain_exception(raised(KeyError("no x")), [])


def test_a_value_that_a_message_quotes_is_found() -> None:
    given = ["--model.teachers.audio.checkpoint=a.ckpt", "--model.modality=smell"]
    assert "model.teachers.audio.checkpoint=a.ckpt is" in with_place("no file 'a.ckpt'", given)
    assert "model.modality=smell" in with_place("no modality 'smell', only: audio", given)
    assert with_place("nothing is named", given) == "nothing is named"


def test_a_long_text_keeps_its_first_lines_and_its_place() -> None:
    text = clip("\n".join([*map(str, range(100)), "  x is given in a.yaml"]))
    assert text.splitlines()[-1] == "  x is given in a.yaml"
    assert "(97 more lines)" in text
    assert len(text.splitlines()) == 5
    assert len(clip("x" * 10_000)) <= 400
