"""Good models and texts, and beside them all that is wrong with some."""

import gzip
import json
import lzma
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as t
import zstandard
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from any_models import build
from relusparsity.__main__ import main

SENTENCE = "the unit fires here and never again while tokens pass by "


LINE = json.dumps({"text": SENTENCE * 4}) + "\n"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Good models and texts, and beside them all that is wrong with some; where the commands run."""
    folder, before = tmp_path_factory.mktemp("bad"), Path.cwd()
    os.chdir(folder)
    _models()
    _texts()
    _datasets()
    yield folder
    os.chdir(before)


def _models() -> None:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.train_from_iterator([SENTENCE], trainers.BpeTrainer(vocab_size=99, special_tokens=["<eos>"]))
    tokenizer = t.PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<eos>")
    for kind in ("opt", "llama", "bert", "vit"):
        build(kind, Path(kind))
        tokenizer.save_pretrained(kind)

    def copy(name: str, **config: Any) -> Path:
        shutil.copytree("opt", name)
        values = json.loads(Path(name, "config.json").read_text())
        Path(name, "config.json").write_text(json.dumps(values | config))
        return Path(name)

    weights = load_file("opt/model.safetensors")
    first = "model.decoder.layers.0.fc1.weight"
    save_file({k: v for k, v in weights.items() if "fc1" not in k}, copy("missing") / "model.safetensors")
    save_file(weights | {first: torch.zeros(3, 3)}, copy("shapes") / "model.safetensors")
    save_file(weights | {first.replace(".0.", ".7."): weights[first] + 1}, copy("more") / "model.safetensors")
    copy("fewer_layers", num_hidden_layers=1)
    copy("more_layers", num_hidden_layers=3)
    copy("other_width", ffn_dim=48)
    copy("words_for_numbers", hidden_size="many")
    copy("negative", ffn_dim=-4)
    copy("unknown_activation", activation_function="wavy")
    copy("unknown_type", model_type="nothing_of_the_kind")
    copy("unknown_class", architectures=["MyOwnForCausalLM"])
    copy("no_class", architectures=[])
    copy("class_is_a_number", architectures=[7])
    Path(copy("config_garbage"), "config.json").write_bytes(b"\xff\xfe{")
    Path(copy("config_a_list"), "config.json").write_text("[1]")
    Path(copy("config_nested"), "config.json").write_text("[" * 100_000)
    Path(copy("config_empty"), "config.json").write_text("")
    (each := copy("config_a_folder") / "config.json").unlink()
    each.mkdir()
    Path(copy("cut"), "model.safetensors").write_bytes(Path("opt/model.safetensors").read_bytes()[:-9])
    Path(copy("weights_empty"), "model.safetensors").write_bytes(b"")
    Path(copy("weights_text"), "model.safetensors").write_text(SENTENCE)
    Path(copy("weights_huge_header"), "model.safetensors").write_bytes(b"\xff" * 8 + b"{}")
    (each := copy("weights_a_folder") / "model.safetensors").unlink()
    each.mkdir()
    (each := copy("shards_missing") / "model.safetensors").rename("shards_missing/model-00001-of-00002.safetensors")
    index = {"metadata": {}, "weight_map": {key: "model-00002-of-00002.safetensors" for key in weights}}
    Path("shards_missing/model.safetensors.index.json").write_text(json.dumps(index))
    copy("pickled").joinpath("model.safetensors").rename("pickled/pytorch_model.bin")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        for each in copy(f"{file}_missing").glob("tokenizer*"):
            each.unlink()
        Path(copy(f"{file}_garbage"), file).write_bytes(b"\xff\xfe{")
        Path(copy(f"{file}_empty"), file).write_text("")
        Path(copy(f"{file}_number"), file).write_text("7")
    Path("odd.gguf").write_bytes(b"GGUF" + b"\xff" * 60)
    os.symlink("round", "round")
    for each in ("unsafe", "holds_nothing"):
        Path(each).mkdir()


def _texts() -> None:
    text = LINE * 200
    noise = np.random.default_rng(0).bytes(300)
    packed = {
        "gz": gzip.compress(text.encode(), mtime=0),
        "xz": lzma.compress(text.encode()),
        "zst": zstandard.ZstdCompressor(write_checksum=True).compress((text + str(noise)).encode()),
    }
    for kind, data in packed.items():
        Path(f"good.jsonl.{kind}").write_bytes(data)
        Path(f"cut.jsonl.{kind}").write_bytes(data[: len(data) // 2])
        Path(f"end_cut.jsonl.{kind}").write_bytes(data[:-3])
        Path(f"block.jsonl.{kind}").write_bytes(data[:40] + noise[:40] + data[80:])
        Path(f"sum.jsonl.{kind}").write_bytes(data[:-5] + bytes([data[-5] ^ 0x55]) + data[-4:])
        Path(f"noise.jsonl.{kind}").write_bytes(noise)
        Path(f"text.txt.{kind}").write_text(text)
        Path(f"empty.txt.{kind}").write_bytes(b"")
        Path(f"header.txt.{kind}").write_bytes(data[:5])
    Path("text.png").write_text(text)
    Path("text.jsonl.bz2").write_text(text)
    rows = {
        "good": text,
        "empty": "",
        "blank": "\n \n",
        "nulls": '{"text": null}\n' * 9,
        "words": "the cat\n",
        "list": '["x"]\n',
        "number": "7\n",
        "unfinished": LINE + '{"text": "a\n',
        "no_text": '{"words": "a"}\n',
        "text_a_number": '{"text": 3}\n',
        "text_a_list": '{"text": ["a"]}\n',
        "half_a_character": '{"text": "\\ud800"}\n',
        "brackets": "[" * 200_000 + "\n",
        "brackets_inside": '{"text": "a", "x": ' + "[" * 200_000 + "]" * 200_000 + "}\n",
        "short": '{"text": "the"}\n',
    }
    for name, content in rows.items():
        Path(f"{name}.jsonl").write_text(content)
    for name, data in {"null_bytes": b"a\0b", "latin": b"caf\xe9 " * 99, "utf16": SENTENCE.encode("utf-16")}.items():
        Path(f"{name}.txt").write_bytes(data * 20)
        Path(f"{name}.jsonl").write_bytes(data * 20)
    Path("folder.txt").mkdir()
    Path("out_a_file").write_text("x")
    for name in ("dataset.nc", "report.html", "state.safetensors"):
        Path(f"taken_{name}", name).mkdir(parents=True)


def _datasets() -> None:
    options = ["--text", "good.jsonl", "--tokens", "512", "--seq_len", "16"]
    for name, more in (("one", []), ("other", []), ("rule", ["--rule", "epsilon=0.5"])):
        assert main(["measure", "opt", *options, "--out", name, *more]) == 0
    for name in ("damaged", "no_seal", "seal_garbage", "no_dataset"):
        shutil.copytree("one", name)
    data = bytearray(Path("damaged/dataset.nc").read_bytes())
    data[len(data) // 2] ^= 0x55
    Path("damaged/dataset.nc").write_bytes(data)
    Path("no_seal/dataset.nc.sha256").unlink()
    Path("no_dataset/dataset.nc").unlink()
    Path("text.nc").write_text("x")


LONG, NOBODY, NULL = "x" * 5000, "~nobody-has-this-name/x", "a\0b"


MODELS = [
    "/no/such/folder", "./nothing", "~/nothing-of-the-kind", "nobody/has-this", "a/b/c/d", "", " ", LONG, f"{LONG}/y",
    NOBODY, NULL, "round", "/dev/null", "/proc/self/mem", "good.jsonl", ".", "holds_nothing", "unsafe", "missing",
    "shapes", "more", "fewer_layers", "more_layers", "other_width", "words_for_numbers", "negative",
    "unknown_activation", "unknown_type", "unknown_class", "no_class", "class_is_a_number", "config_garbage",
    "config_a_list", "config_nested", "config_empty", "config_a_folder", "cut", "weights_empty", "weights_text",
    "weights_huge_header", "weights_a_folder", "shards_missing", "pickled", "tokenizer.json_missing",
    "tokenizer.json_garbage", "tokenizer.json_empty", "tokenizer.json_number", "tokenizer_config.json_garbage",
    "tokenizer_config.json_empty", "tokenizer_config.json_number", "odd.gguf", "no.gguf", "vit",
    "opt/model.safetensors", "opt/config.json",
]  # fmt: skip


TEXTS = [
    "no.txt", "no/such/folder", "", LONG, f"{LONG}.txt", f"{NOBODY}.txt", f"{NULL}.txt", "round", "/dev/null",
    "/proc/self/mem", "/dev/zero", "folder.txt", "holds_nothing", "text.png", "text.jsonl.bz2", "opt/config.json",
    *(f"{what}.{kind}" for kind in ("gz", "xz", "zst") for what in (
        "cut.jsonl", "end_cut.jsonl", "block.jsonl", "sum.jsonl", "noise.jsonl", "text.txt", "empty.txt", "header.txt"
    )),
    *(f"{name}.jsonl" for name in (
        "empty", "blank", "nulls", "words", "list", "number", "unfinished", "no_text", "text_a_number", "text_a_list",
        "half_a_character", "brackets", "brackets_inside", "short", "null_bytes", "latin", "utf16",
    )),
    *(f"{name}.txt" for name in ("null_bytes", "latin", "utf16")),
]  # fmt: skip


NUMBERS = ["", "0", "-1", "1.5.5", "nan", "inf", "-inf", "many", "1e9", "9" * 5000, "9" * 400 + "g", "٣" * 3, "0x10"]


OPTIONS = {
    "tokens": [*NUMBERS, "7", "k", "1t", "1_", "."],
    "batch_size": [*(each for each in NUMBERS), "2.5", "Auto"],
    "seq_len": [*(each for each in NUMBERS), "1", "3", "48", "128", str(2**40), str(2**70)],
    "rule": [
        "", "often", "exact=", "exact=1", "epsilon", "epsilon=", "epsilon=0", "epsilon=-1", "epsilon=nan",
        "epsilon=inf", "epsilon=1e300", "epsilon=1e-400", "quantile=0", "quantile=1", "quantile=nan", "quantile=9",
        "cett=0", "cett=7", "cett=nan", "cett=-inf", "cett-ppl=0", "cett-ppl=-1", "cett-ppl=inf", "cett-ppl=nan",
        "quantile=0.5=0.5", "epsilon=" + "9" * 5000, LONG,
    ],
    "layers": ["", "*", "*.nothing", "[", LONG, NULL, "*fc?", "lm_head.*"],
    "of": ["", "both", "product", "0"],
    "device": ["", "abacus", "meta", "cuda:99", "cuda:-1", "cpu:x", LONG, NULL, "auto:1"],
    "dtype": ["", "int8", "float64", "float", LONG, "None"],
    "special_tokens": ["", "some", "1"],
    "tokenizer": [
        "nowhere/at-all", "/no/such", "vit/model.safetensors", "holds_nothing", "good.jsonl", LONG, NOBODY, NULL, "",
        "round", "tokenizer.json_garbage", "tokenizer.json_empty",
    ],
    "out": [
        "", "/proc/x", "/proc/self/x/y", "/dev/null", "/dev/null/x", "/sys/x", "out_a_file", "out_a_file/x", LONG,
        f"new/{LONG}", NOBODY, NULL, "round", "round/x", "taken_dataset.nc", "taken_report.html",
        "taken_state.safetensors",
    ],
    "trust_remote_code": ["yes"],
    "nonsense": ["1"],
}  # fmt: skip


GOOD = ["--text", "good.jsonl", "--tokens", "512", "--device", "cpu"]


COMPARE = [
    [], ["one"], ["one", "nowhere"], ["one", "holds_nothing"], ["one", "good.jsonl"], ["one", "text.nc"],
    ["one", "damaged"], ["one", "no_seal"], ["one", "no_dataset"], ["one", "rule"], ["one", LONG], ["one", NOBODY],
    ["one", NULL], ["one", "round"], ["one", "/dev/null"], ["one", "/proc/self/mem"], ["one", ""], ["one", "opt"],
    *(["one", "other", "--out", each] for each in ("/proc/x.html", "/dev/null/x", "opt", ".", "", LONG, NOBODY, NULL,
                                                   "out_a_file/x.html", "round", "/sys/x.html")),
    ["one", "other", "--nonsense", "1"],
]  # fmt: skip


COMMANDS = [
    *(["measure", model, *GOOD] for model in MODELS),
    *(["measure", "opt", "--text", text, "--tokens", "512"] for text in TEXTS),
    *(["measure", "opt", *GOOD, f"--{option}", value] for option, values in OPTIONS.items() for value in values),
    *(["compare", *given] for given in COMPARE),
    ["measure"], ["measure", "opt"], ["measure", *GOOD], ["measure", "opt", "--text"], ["measure", "opt", "opt", *GOOD],
    ["measure", "opt", "sub/opt", *GOOD], ["measure", "bert", *GOOD, "--rule", "cett-ppl=1"],
    ["measure", "opt", "llama", *GOOD, "--out", "out_a_file"],
    ["measure", "opt", *GOOD, "--rule", "cett=0.5", "--of", "input"],
    ["measure", "opt", "good.jsonl", "--text", "good.jsonl"], ["nonsense"],
]  # fmt: skip
