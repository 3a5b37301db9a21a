"""Models and folders that `measure` cannot take: one sentence each."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import transformers as t

from bad_made import GOOD
from relusparsity.__main__ import main
from relusparsity.measure import checkpoint

pytest_plugins = ("bad_made",)  # its fixtures


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"max_position_embeddings": 0}, "max_position_embeddings = 0 in the model's configuration"),
        ({"max_position_embeddings": -1}, "max_position_embeddings = -1 in the model's configuration"),
        ({"max_position_embeddings": 1}, "by its configuration the model reads 1 tokens"),
        ({"architectures": []}, "does not say what class of model it is (architectures = []"),
        ({"architectures": None}, "does not say what class of model it is (architectures = None"),
        ({"architectures": [7]}, "does not say what class of model it is (architectures = [7]"),
        ({"architectures": "LlamaForCausalLM"}, "does not say what class of model it is (architectures = Llama"),
        ({"quantization_config": {"quant_method": "nope"}}, "are quantised (nope), which this transformers does not"),
    ],
    ids=str,
)
def test_of_a_configuration_that_makes_no_sense_it_is_said_what_is_wrong(
    config: dict[str, Any], said: str, here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree("llama", tmp_path / "model")
    values = json.loads((tmp_path / "model/config.json").read_text())
    (tmp_path / "model/config.json").write_text(json.dumps(values | config))
    assert main(["measure", str(tmp_path / "model"), *GOOD, "--out", str(tmp_path / "out")]) == 2
    assert said in capsys.readouterr().err.splitlines()[-1]


def test_a_package_that_is_not_there_is_no_damage(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def needs(*_: Any, **__: Any) -> None:
        raise ImportError("it requires the package abacus")

    for name in ("AutoConfig", "AutoTokenizer"):
        with monkeypatch.context() as patched:
            patched.setattr(getattr(t, name), "from_pretrained", needs)
            assert main(["measure", "opt", *GOOD]) == 2
        said = capsys.readouterr().err
        assert "needs what is not installed here (it requires the package abacus)" in said and "damaged" not in said


@pytest.mark.parametrize(
    "command",
    [
        ["measure", "", *GOOD],
        ["measure", "opt", "", *GOOD],
        ["measure", "opt", "--text", ""],
        ["measure", "opt", "--text", "good.jsonl", ""],
        ["measure", "opt", *GOOD, "--out", ""],
        ["measure", "opt", "llama", *GOOD, "--out", ""],
        ["measure", "opt", *GOOD, "--tokenizer", ""],
        ["compare", "one", ""],
        ["compare", "one", "other", "--out", ""],
        ["train", "--scale", "smoke", "--corpus.source", "text", "--corpus.paths", ""],
        [
            "train",
            "--scale",
            "smoke",
            "--corpus.source",
            "text",
            "--corpus.paths",
            "good.jsonl.gz",
            "--corpus.tokenizer",
            "",
        ],
        ["show", ""],
        ["clean", ""],
    ],
    ids=" ".join,
)
def test_an_empty_name_is_not_the_folder_that_one_is_in(
    command: list[str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 2
    expected = "'' names no run" if command[0] in ("show", "clean") else "an empty name cannot be the path of a file"
    assert f"error: {expected}" in capsys.readouterr().err


def test_a_gguf_file_without_its_packages_names_them(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(checkpoint, "GGUF", ("a_package_that_is_not_there",))
    assert main(["measure", "odd.gguf", *GOOD]) == 2
    assert "pip install a_package_that_is_not_there" in capsys.readouterr().err
