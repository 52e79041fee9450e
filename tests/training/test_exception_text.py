import errno
import os

from fdkd_lightning.training.exception_text import clip, explain_exception, with_place


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


def test_a_full_disk_that_names_no_file_has_a_remedy() -> None:
    text = explain_exception(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), [])
    assert "No space left on device: make room on the disks of the run's" in text
    assert "make room" not in explain_exception(OSError(errno.EACCES, "denied"), [])
