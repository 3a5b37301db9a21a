"""Unpacking takes the wanted files, byte for byte, and nothing out of its folder."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from relusparsity.errors import UserError
from relusparsity.packages import archives

FILES = {"inner/model.bin": bytes(range(256)) * 9, "inner/empty.txt": b"", "other/README": b"not wanted"}


def wheel(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    return path


def tarball(path: Path, files: dict[str, bytes], mode: str = "w:gz", link: str = "") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, data in files.items():
            head = tarfile.TarInfo(name)
            head.size = len(data)
            tar.addfile(head, io.BytesIO(data))
        if link:
            head = tarfile.TarInfo(link)
            head.type, head.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(head)
    return path


def debian(path: Path, files: dict[str, bytes]) -> Path:
    """A Debian package as `man deb` describes it, of an odd size first, which is padded."""
    data = tarball(path.with_suffix(".data"), {f"./{name}": each for name, each in files.items()}, "w:xz").read_bytes()
    made = b"!<arch>\n"
    for name, part in (("debian-binary", b"2.0\n"), ("control.tar.xz", b"odd"), ("data.tar.xz", data)):
        made += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(part):<10}`\n".encode() + part + b"\n" * (len(part) % 2)
    path.write_bytes(made)
    return path


MAKERS = {"whl": wheel, "tgz": tarball, "deb": debian}


@pytest.mark.parametrize("kind", MAKERS)
def test_the_wanted_files_come_out_as_they_went_in(kind: str, tmp_path: Path) -> None:
    archive = MAKERS[kind](tmp_path / f"package.{kind}", FILES)
    names = archives.unpack(archive, tmp_path / "out", ["inner/*"])
    assert names == ["inner/empty.txt", "inner/model.bin"]
    found = {str(file.relative_to(tmp_path / "out")): file.read_bytes() for file in (tmp_path / "out").rglob("*.*")}
    assert found == {name: FILES[name] for name in names}
    assert sorted(each.name for each in tmp_path.iterdir() if each.suffix != ".data") == ["out", f"package.{kind}"]


def test_an_archive_in_an_archive(tmp_path: Path) -> None:
    inside = wheel(tmp_path / "inside", FILES).read_bytes()
    for kind, maker in MAKERS.items():
        archive = maker(tmp_path / f"package.{kind}", {"a/model.zip": inside, "model.bin": b"another"})
        assert archives.unpack(archive, tmp_path / kind, ["*/model.bin"], "a/model.zip") == ["inner/model.bin"]
        assert (tmp_path / kind / "inner/model.bin").read_bytes() == FILES["inner/model.bin"]


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/tmp/evil", "a\\..\\..\\evil", "c:evil"])
@pytest.mark.parametrize("kind", ["whl", "tgz"])
def test_a_name_that_leads_out_of_the_folder_is_refused(kind: str, name: str, tmp_path: Path) -> None:
    place = tmp_path / "a" / "b"
    place.mkdir(parents=True)
    archive = MAKERS[kind](tmp_path / f"package.{kind}", {"fine": b"1", name: b"2"})
    with pytest.raises(UserError, match=r"outside of its folder; it is not unpacked"):
        archives.unpack(archive, place / "out", ["*"])
    assert [each.name for each in tmp_path.rglob("*evil*")] == [] and not Path("/tmp/evil").exists()


def test_a_link_is_refused_where_it_is_wanted(tmp_path: Path) -> None:
    archive = tarball(tmp_path / "package.tgz", {"fine": b"1"}, link="secret")
    assert archives.unpack(archive, tmp_path / "out", ["fine"]) == ["fine"]
    with pytest.raises(UserError, match="'secret', no plain file"):
        archives.unpack(archive, tmp_path / "again", ["*"])
    info = zipfile.ZipInfo("secret")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "package.whl", "w") as packed:
        packed.writestr(info, "/etc/passwd")
    with pytest.raises(UserError, match="'secret', no plain file"):
        archives.unpack(tmp_path / "package.whl", tmp_path / "third", ["*"])


@pytest.mark.parametrize("kind", MAKERS)
def test_what_would_fill_the_disk_is_refused(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = MAKERS[kind](tmp_path / f"package.{kind}", {"zeros": bytes(9000), "more": bytes(9000)})
    monkeypatch.setattr(archives, "LIMIT", 18_000)
    assert archives.unpack(archive, tmp_path / "out", ["*o*"])
    monkeypatch.setattr(archives, "LIMIT", 17_999)
    with pytest.raises(UserError, match="more than 17,999 bytes"):
        archives.unpack(archive, tmp_path / "again", ["*o*"])


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    archive = wheel(tmp_path / "package.whl", FILES)
    with pytest.raises(UserError, match=r"package\.whl holds no inner/weights\.\*;"):
        archives.unpack(archive, tmp_path / "out", ["inner/*", "inner/weights.*"])


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("share", [0.0, 0.4, 0.7])
def test_a_damaged_package_is_told_in_one_sentence(kind: str, share: float, tmp_path: Path) -> None:
    archive = MAKERS[kind](tmp_path / f"package.{kind}", {"a": b"1" * 9000, "b": bytes(range(256)) * 99})
    whole = archive.read_bytes()
    archive.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(
        UserError, match=rf"^package\.{kind} cannot be unpacked \(.+\); expected a whole package file\.$"
    ):
        archives.unpack(archive, tmp_path / "out", ["*"])
