"""Packages are fetched by their checksum, whole or not at all; a test's own programs stand for pip, npm and apt-get."""

import hashlib
import json
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from relusparsity import packages
from relusparsity.__main__ import main
from relusparsity.errors import UserError
from relusparsity.packages import archives, catalogue, fetch
from relusparsity.store import results
from test_archives import FILES, MAKERS

TOOLS = {"pypi": "pip", "npm": "npm", "debian": "apt-get"}
ENDS = {"pypi": "whl", "npm": "tgz", "debian": "deb"}

TOOL = """#!{python}
# what the test says it does, in the folder it is started in; it keeps what it was asked
import os, shutil, sys, time
from pathlib import Path
place = Path({place!r})
with open(place / "asked", "a") as asked:
    print({name!r}, *sys.argv[1:], file=asked)
does = (place / "does").read_text()
if does == "hang":
    Path("half").write_bytes(b"half a file")
    (place / "hangs").touch()
    time.sleep(8)
if does != "serve":
    sys.exit(does)
shutil.copy(place / "served" / {served!r}, ".")
"""


class World:
    """A list of three packages, tools that serve them, and an empty place for what is fetched."""

    def __init__(self, place: Path) -> None:
        self.place, self.store = place, place / "runs" / "packages"
        self.served = place / "served"
        for folder in (self.served, place / "bin", place / "python" / "pip"):
            folder.mkdir(parents=True)
        for kind, end in ENDS.items():
            file = MAKERS[end](self.served / f"some-{end}.{end}", FILES)
            text = TOOL.format(python=sys.executable, place=str(place), name=TOOLS[kind], served=file.name)
            tool = place / ("python/pip/__main__.py" if kind == "pypi" else f"bin/{TOOLS[kind]}")
            tool.write_text(text)
            tool.chmod(0o755)
        (place / "python" / "pip" / "__init__.py").touch()
        self.tools("serve")
        self.pin()

    def tools(self, does: str) -> None:
        """What the tools do when they are run: serve, hang, or end with these words on stderr."""
        (self.place / "does").write_text(does)

    def asked(self) -> list[str]:
        log = self.place / "asked"
        return log.read_text().splitlines() if log.exists() else []

    def pin(self, **changes: str) -> None:
        """Write the list, with the true checksums or these by kind."""
        entries = []
        for number, (kind, end) in enumerate(ENDS.items()):
            data = (self.served / f"some-{end}.{end}").read_bytes()
            checksum = changes.get(kind, hashlib.sha256(data).hexdigest())
            entries.append(
                f'[{kind}-one]\nkind = "{kind}"\npackage = "some-{end}"\nversion = "1.{number}"\n'
                f'file = "some-{end}.{end}"\nsha256 = "{checksum}"\nbytes = {len(data) if checksum else 0}\n'
                f'licence = "MIT"\ninside = "a file"\nchapters = [{number + 1}, 9]\nwanted = ["inner/*"]\n'
            )
        (self.place / "models.toml").write_text("\n".join(entries))
        catalogue.everything.cache_clear()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'python'}:{Path(catalogue.__file__).parents[2]}")
    monkeypatch.setenv("RELUSPARSITY_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(catalogue, "LIST", tmp_path / "models.toml")
    catalogue.everything.cache_clear()
    yield made  # type: ignore[misc]
    catalogue.everything.cache_clear()


def left(world: World) -> list[str]:
    """What lies where fetched packages are kept, but for the lock."""
    return sorted(each.name for each in world.store.glob("*") if each.name != ".lock")


@pytest.mark.parametrize("kind", ENDS)
def test_a_package_is_fetched_once_and_found(kind: str, world: World) -> None:
    name = f"{kind}-one"
    (package,) = catalogue.named([name])
    for _ in range(2):
        assert fetch.fetch(package) == packages.folder(name)
    (asked,) = world.asked()
    wanted = {
        "pypi": "pip download --quiet --no-deps --only-binary :all: .* some-whl==1.0",
        "npm": "npm pack --ignore-scripts .* some-tgz@1.1",
        "debian": "apt-get download --quiet some-deb=1.2",
    }
    assert re.fullmatch(wanted[kind], asked)
    assert packages.path(name, "model.bin").read_bytes() == FILES["inner/model.bin"]
    assert left(world) == [package.folder.name] and packages.absent(name) == ""
    assert not replace(package, wanted=("other/*",)).is_here and not replace(package, sha256="0" * 64).is_here
    files = sorted(str(each.relative_to(packages.folder(name))) for each in packages.folder(name).rglob("*.*"))
    assert files == ["contents.json", "contents.json.sha256", "inner/empty.txt", "inner/model.bin"]
    told = json.loads((packages.folder(name) / catalogue.CONTENTS).read_text())
    assert told == {file: hashlib.sha256(FILES[file]).hexdigest() for file in files[2:]}


@pytest.mark.parametrize("folder", [False, True])
def test_another_file_than_the_pinned_one_is_refused(folder: bool, world: World) -> None:
    world.pin(npm="0123456789ab" + "0" * 52)
    found = hashlib.sha256((world.served / "some-tgz.tgz").read_bytes()).hexdigest()
    with pytest.raises(
        UserError, match=rf"sha256 {found[:12]}…, expected 0123456789ab… .* --folder, or make's FOLDER="
    ):
        fetch.fetch(catalogue.everything()["npm-one"], str(world.served) if folder else None)
    assert left(world) == [] and packages.absent("npm-one")


@pytest.mark.parametrize("kind", ENDS)
def test_a_tool_that_is_missing_is_named(kind: str, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(world.place))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    said = rf"^{TOOLS[kind]} is not installed, and {kind}-one is fetched by it; name a folder that holds some-"
    with pytest.raises(UserError, match=said):
        fetch.fetch(catalogue.everything()[f"{kind}-one"])


def test_without_a_network_the_tools_words_come_first(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    world.tools("ERROR: Name or service not known")
    assert main(["models", "pypi-one"]) == 2
    first, second = capfd.readouterr().err.splitlines()
    assert first == "ERROR: Name or service not known"
    assert second.startswith("error: pip could not fetch some-whl 1.0 (what it said is above); see to the network")
    assert left(world) == []


def test_what_can_be_fetched_is_kept_when_another_cannot(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    (world.place / "bin" / "npm").unlink()
    assert main(["models", "--all"]) == 2
    said = capsys.readouterr()
    assert "3 packages, " in said.out and "npm-one: npm is not installed" in said.err
    assert said.err.splitlines()[-1].startswith(
        "error: 1 of 3 packages could not be fetched, for the reasons above: npm-"
    )
    assert [name.partition("-")[0] for name in left(world)] == ["debian", "pypi"]


@pytest.mark.parametrize(("module", "name"), [(fetch, "_watch"), (archives, "unpack")])
def test_interrupted_it_leaves_nothing(
    module: ModuleType, name: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, really = catalogue.everything()["debian-one"], getattr(module, name)

    def interrupted(*arguments: object) -> None:
        really(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, name, interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch.fetch(package)
    assert left(world) == [] and len(world.asked()) == 1
    assert fetch.fetch(package) == packages.folder("debian-one")


def test_interrupted_it_ends_the_tool(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        wait_for(world.place / "hangs")
        raise KeyboardInterrupt

    world.tools("hang")
    monkeypatch.setattr(fetch, "_watch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch.fetch(catalogue.everything()["npm-one"])
    since = (world.place / "hangs").stat().st_mtime
    assert time.time() - since < 6 and left(world) == []  # by itself it would have ended after 8 seconds


def wait_for(file: Path) -> None:
    for _ in range(600):
        if file.exists():
            return
        time.sleep(0.05)


def test_killed_it_leaves_nothing_that_counts_and_the_next_fetch_clears_it(world: World) -> None:
    world.tools("hang")
    program = (
        "from relusparsity.packages import catalogue, fetch; from pathlib import Path; "
        f"catalogue.LIST = Path({str(world.place / 'models.toml')!r}); fetch.fetch(catalogue.everything()['npm-one'])"
    )
    process = subprocess.Popen([sys.executable, "-c", program])
    wait_for(world.place / "hangs")
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (world.place / "hangs").exists() and len(list(world.store.glob(f"{fetch.BUSY}*"))) == 1
    assert packages.absent("npm-one")
    world.tools("serve")
    fetch.fetch(catalogue.everything()["npm-one"])
    assert len(left(world)) == 1 and not list(world.store.glob(f"{fetch.BUSY}*"))


def test_a_folder_that_is_named_takes_the_place_of_the_tools(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    (world.served / "some-deb.deb").rename(world.place / "elsewhere.deb")
    assert main(["models", "--chapter", "9", "--folder", str(world.served)]) == 2
    assert "some-deb.deb is not there; expected in" in capsys.readouterr().err
    assert len(left(world)) == 2 and world.asked() == []
    assert main(["models", "--folder", str(world.served)]) == 2
    assert "but not which to take" in capsys.readouterr().err


def test_the_list_says_what_is_here(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--chapter", "2"]) == 0
    assert main(["models"]) == 0
    said = capsys.readouterr().out
    assert [bool(re.search(rf"^{kind}-one .* here +MIT$", said, re.M)) for kind in ENDS] == [False, True, False]
    assert f"not here: 2 packages, 0.0 MB; kept in {world.store}" in said and "make models ALL=1" in said
    assert main(["models", "npm-one"]) == 0 and "nothing to fetch: here are npm-one" in capsys.readouterr().out
    assert len(world.asked()) == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["nothing"], "no package 'nothing' is listed; choose from: pypi-one, npm-one, debian-one."),
        (["--chapter", "4"], "chapter 4 uses no package; those that do are 1, 2, 3, 9."),
        (["npm-one", "--all"], "--all is every package"),
    ],
)
def test_what_is_asked_amiss_is_refused(
    options: list[str], says: str, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", *options]) == 2
    assert says in capsys.readouterr().err and not world.asked()


def test_a_chapter_without_its_file_says_one_sentence(world: World) -> None:
    said = packages.absent("npm-one", "pypi-one")
    assert said.startswith("Not on this machine: npm-one (0.0 MB), pypi-one (0.0 MB); only recorded data is shown here")
    assert 'make models ONLY="npm-one pypi-one"' in said and said.count(".") == 3  # of two sizes, and the last
    for ask in (packages.folder, packages.path):
        with pytest.raises(
            UserError, match=r"^npm-one is not on this machine .*make models ONLY=npm-one.*fetches it\.$"
        ):
            ask("npm-one")


def test_where_the_library_is_installed_there_is_no_make(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "checkout", lambda: None)
    assert "`python -m relusparsity models npm-one`" in packages.absent("npm-one")


def test_a_file_is_found_by_its_end_and_told_when_it_was_changed(world: World) -> None:
    fetch.fetch(catalogue.everything()["npm-one"])
    for end, number in (("", 2), (".zip", 0)):
        with pytest.raises(
            UserError, match=rf"npm-one has {number} files.*, expected one; there are: inner/empty\.txt"
        ):
            packages.path("npm-one", end)
    file = packages.path("npm-one", ".bin")
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"model\.bin is damaged: .*; delete the folder .* and fetch it again\.$"):
        packages.path("npm-one", ".bin")


def test_the_first_fetch_in_a_clone_writes_the_checksum(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    pinned = (world.place / "models.toml").read_text()
    world.pin(npm="")
    with monkeypatch.context() as patched:
        patched.setattr(results, "checkout", lambda: None)
        with pytest.raises(UserError, match="no sha256 of npm-one is known"):
            fetch.fetch(catalogue.everything()["npm-one"])
    assert world.asked() == []
    unknown = (world.place / "models.toml").read_text()
    good = (world.served / "some-tgz.tgz").read_bytes()
    (world.served / "some-tgz.tgz").write_bytes(good[: len(good) // 2])
    with pytest.raises(UserError, match="cannot be unpacked"):
        fetch.fetch(catalogue.everything()["npm-one"])
    assert (world.place / "models.toml").read_text() == unknown
    (world.served / "some-tgz.tgz").write_bytes(good)
    fetch.fetch(catalogue.everything()["npm-one"])
    assert (world.place / "models.toml").read_text() == pinned
    assert packages.path("npm-one", ".bin").is_file()
