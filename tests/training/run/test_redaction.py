import socket
from pathlib import Path
from typing import Any

import pytest

from fdkd_lightning.training.run.redaction import REDACTED, redact, redact_argument


def test_absolute_paths_are_cut_to_their_last_part() -> None:
    home = Path.home()
    assert redact(
        {
            "table": "/home/me/pairs.csv",
            "folds": ["~/one.csv", "C:\\Users\\me\\two.csv", "lists/three.csv"],
            "nested": {"init_args": {"tokenizer": "/srv/t"}},
            "separator": "/",
            "note": f"see {home}/notes",
            "clip": 5.0,
            "flag": None,
        }
    ) == {
        "table": "pairs.csv",
        "folds": ["one.csv", "two.csv", "lists/three.csv"],
        "nested": {"init_args": {"tokenizer": "t"}},
        "separator": "/",
        "note": "see ~/notes",
        "clip": 5.0,
        "flag": None,
    }


@pytest.mark.parametrize(
    ("argument", "shown"),
    [
        ("fit", "fit"),
        ("--config=/home/me/a.yaml", "--config=a.yaml"),
        ("/home/me/a.yaml", "a.yaml"),
        ("--data.root=/home/me/my data", "--data.root=my data"),
        ("--data.folds=[/home/me/a.csv, b.csv]", '--data.folds=["a.csv", "b.csv"]'),
        ("--lr=0.1", "--lr=0.1"),
        ("--note=[unclosed", "--note=[unclosed"),
        ("--configs=configs/a.yaml", "--configs=configs/a.yaml"),
    ],
)
def test_a_command_shows_no_folder_of_this_machine(argument: str, shown: str) -> None:
    assert redact_argument(argument) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("https://me:1234@example.org/a/b.zip", "https://example.org/a/b.zip"),
        ("https://example.org/a.zip?token=12&x=1#part", "https://example.org/a.zip"),
        ("see https://example.org:8080/a?key=1, then", "see https://example.org:8080/a then"),
        ("file:///home/me/data/x.csv", "x.csv"),
        ("file://server/share/x.csv", "x.csv"),
        ("s3://bucket/folder/x.csv", "s3://bucket/folder/x.csv"),
        ("read /srv/data/me/x.csv and go on", "read x.csv and go on"),
        ("in 'C:\\Users\\me\\x.csv'", "in 'x.csv'"),
        (r"\\server\share\x.csv", "x.csv"),
        ("PATH=/srv/a/bin:/srv/b/bin", "PATH=bin:bin"),
        ("/home/alice", "~"),
        ("/Users/alice/", "~"),
        ("lists/train/x.csv", "lists/train/x.csv"),
        ("${root}/a/b, $HOME/a/b, **/a/b, ../a/b, ./a/b", None),
        ("audio/visual, w/o KD, 1/2/3, [N, C, H/2, W/2], a // b", None),
        ("mail me.you@example.org", f"mail {REDACTED}"),
        ("me@cluster:/home/me/x", f"{REDACTED}:x"),
        ("recall@5, model@0.5", None),
        ("password=hunter2 and more", f"password={REDACTED} and more"),
        ('{"api_key": "abc", "lr": 1}', f'{{"api_key": "{REDACTED}", "lr": 1}}'),
        ("pooling: token, cls_token: [CLS], num_tokens=3, tokenizer: bert", None),
        ("use hf_" + 20 * "a" + " here", f"use {REDACTED} here"),
        ("fdkd_lightning.data.embedded.digits.AVDigits", None),
        ({"token": "abc", "pad_token": "[PAD]"}, {"token": REDACTED, "pad_token": "[PAD]"}),
        ({"my_secret_word": "x", "tokens": 5}, {"my_secret_word": REDACTED, "tokens": 5}),
        ({"/home/me/a.yaml": [Path("/home/me/b")]}, {"a.yaml": ["b"]}),
        ((1, 2.5, None, True), [1, 2.5, None, True]),
    ],
)
def test_what_is_private_is_taken_out_and_the_rest_stays(value: Any, shown: Any) -> None:
    assert redact(value) == (value if shown is None else shown)
    # What was redacted once stays as it is.
    assert redact(redact(value)) == redact(value)


def test_values_of_secret_environment_variables_are_taken_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef")
    monkeypatch.setenv("SOME_SETTING", "visible-value")
    assert redact("run 0123456789abcdef visible-value") == f"run {REDACTED} visible-value"


def test_names_of_user_and_machine_are_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "gpu-node7.example.org")
    monkeypatch.setenv("USER", "jdoe")
    text = "runs/jdoe/a on gpu-node7 (gpu-node7.example.org), not jdoes/a"
    shown = f"runs/{REDACTED}/a on {REDACTED} ({REDACTED}), not jdoes/a"
    assert redact(text) == shown
    # A word of the configuration may be a name, too.
    monkeypatch.setattr(socket, "gethostname", lambda: "audio")
    monkeypatch.setenv("USER", "root")
    assert redact({"modality": "audio", "data": "root/x"}) == {
        "modality": "audio",
        "data": "root/x",
    }


@pytest.mark.parametrize(
    ("argument", "shown"),
    [
        (
            "--trainer.logger.init_args.api_key=abc",
            f"--trainer.logger.init_args.api_key={REDACTED}",
        ),
        ("--data.url=https://a:b@c.org/d?e=f", "--data.url=https://c.org/d"),
        ('--data={"token": "abc", "k": 1}', f'--data={{"token": "{REDACTED}", "k": 1}}'),
    ],
)
def test_a_command_shows_no_secret(argument: str, shown: str) -> None:
    assert redact_argument(argument) == shown
