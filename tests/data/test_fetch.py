"""`fetch` against a server on the loopback address: resumed, verified, unpacked, and honest about what went wrong."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from mho.data import check as checking
from mho.data import download as downloading
from mho.data import fetch, load
from mho.data.check import check
from mho.data.known import KNOWN, Remote
from mho.errors import BadInput, MhoError, UseInstead, WrongSetting
from mho.models import published

_spec = importlib.util.spec_from_file_location("as_published", Path(__file__).parent / "as_published.py")
write = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(write)

CONTENT = bytes(torch.randint(256, (300_000,), generator=torch.Generator().manual_seed(0), dtype=torch.uint8).numpy())


def _md5(content):
    return f"md5:{hashlib.md5(content, usedforsecurity=False).hexdigest()}"


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.delenv("MHO_DATA", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data home"))
    monkeypatch.setattr(downloading, "PAUSE_S", 0.0)
    return tmp_path / "data home" / "mho"


@pytest.fixture
def remote(site):
    site.files["/file.bin"] = CONTENT
    return Remote("file.bin", (f"{site.address}/file.bin",), _md5(CONTENT), 0.3)


def test_a_file_comes_once(remote, site, tmp_path):
    seen = []
    file = downloading.download(remote, tmp_path, progress=seen.append)
    assert file == tmp_path / "file.bin" and file.read_bytes() == CONTENT
    assert (seen[-1].work, seen[-1].done, seen[-1].total, seen[-1].unit) == ("fetch file.bin", 0.3, 0.3, "MB")
    assert [step.done for step in seen] == sorted({step.done for step in seen})
    downloading.download(remote, tmp_path)
    assert len(site.asked) == 1
    file.write_bytes(b"damaged")
    assert downloading.download(remote, tmp_path).read_bytes() == CONTENT
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["file.bin"]


def test_broken_connections_are_gone_on_with(remote, site, tmp_path):
    site.breaks["/file.bin"] = [100_000, 50_000]
    assert downloading.download(remote, tmp_path).read_bytes() == CONTENT
    assert [span for _, span in site.asked] == [None, "bytes=100000-", "bytes=150000-"]


def test_a_server_without_ranges_begins_again(remote, site, tmp_path):
    site.ranges, site.breaks["/file.bin"] = False, [100_000]
    assert downloading.download(remote, tmp_path).read_bytes() == CONTENT
    assert len(site.asked) == 2


def test_a_server_that_always_breaks_is_given_up_and_the_next_call_goes_on(remote, site, tmp_path):
    site.breaks["/file.bin"] = [100_000, 0]
    with pytest.raises(BadInput, match=r"the connection failed .* -> try again; 0\.1 MB are kept.*goes on from there"):
        downloading.download(remote, tmp_path)
    assert (tmp_path / "file.bin.part").stat().st_size == 100_000
    site.ranges = False
    site.breaks["/file.bin"] = [90_000, 90_000, 80_000]  # Never further than before: no endless loop.
    with pytest.raises(BadInput, match="the connection failed"):
        downloading.download(remote, tmp_path)
    site.ranges, site.breaks["/file.bin"] = True, []
    assert downloading.download(remote, tmp_path).read_bytes() == CONTENT


def test_a_wrong_checksum_leaves_nothing_behind(remote, site, tmp_path):
    site.files["/file.bin"] = CONTENT[:-1] + b"!"
    with pytest.raises(BadInput, match=f"another checksum than {remote.checksum}, and was deleted"):
        downloading.download(remote, tmp_path)
    assert list(tmp_path.glob("*")) == [] or [p.name for p in tmp_path.iterdir()] == ["data home"]


@pytest.mark.parametrize("length", [1, 100_000, 300_000, 400_000])
def test_the_part_of_another_version_is_fetched_from_the_beginning(remote, site, tmp_path, length):
    (tmp_path / "file.bin.part").write_bytes(b"x" * length)
    assert downloading.download(remote, tmp_path).read_bytes() == CONTENT


def test_a_whole_part_is_only_verified(remote, site, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    assert downloading.download(remote, tmp_path).read_bytes() == CONTENT
    assert site.asked == [("/file.bin", f"bytes={len(CONTENT)}-")]


def test_the_second_address_is_asked_when_the_first_has_nothing(remote, site, tmp_path):
    both = replace(remote, addresses=(f"{site.address}/gone", *remote.addresses))
    assert downloading.download(both, tmp_path).read_bytes() == CONTENT
    nowhere = replace(remote, name="other", addresses=(f"{site.address}/gone", "http://127.0.0.1:9/closed"))
    with pytest.raises(
        BadInput, match=r"gone: the server answers 404 .*closed: the connection failed \(.*refused"
    ) as caught:
        downloading.download(nowhere, tmp_path)
    assert f"put it into {tmp_path}" in caught.value.remedy


def test_a_folder_that_cannot_be_written_is_named(remote, tmp_path, monkeypatch, root):
    monkeypatch.setenv("MHO_DATA", str(tmp_path / "a file" / "below"))
    (tmp_path / "a file").write_text("")
    with pytest.raises(BadInput, match="a file.below.mnist: cannot be made .* -> set MHO_DATA"):
        fetch("mnist")
    with pytest.raises(BadInput, match="a file: cannot be written"):
        downloading.download(remote, tmp_path / "a file")


@pytest.mark.skipif(os.name != "posix", reason="kills a process")
def test_killed_in_the_middle_the_same_call_goes_on(remote, site, tmp_path):
    site.slow = {"/file.bin"}
    code = (
        "from pathlib import Path; from mho.data.known import Remote; from mho.data.download import download\n"
        f"download({remote!r}, Path({str(tmp_path)!r}))"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    part, end = tmp_path / "file.bin.part", time.monotonic() + 60
    try:
        while not (part.is_file() and part.stat().st_size) and time.monotonic() < end and process.poll() is None:
            time.sleep(0.02)
            if site.asked:
                site.breaks["/file.bin"] = [150_000, 0, 0, 0]
                site.gate.set()
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    held = part.stat().st_size
    assert 0 < held < len(CONTENT)
    site.slow, site.breaks = set(), {}
    assert downloading.download(remote, tmp_path).read_bytes() == CONTENT
    assert site.asked[-1] == ("/file.bin", f"bytes={held}-")
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["file.bin"]


@pytest.fixture
def small(site, monkeypatch):
    """The known sets with small files of the same form on the loopback server."""
    batches = {}
    for seed, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        images = torch.randint(256, (20, 3072), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
        batches[f"cifar-10-batches-py/{name}"] = write.pickled(images, [i % 10 for i in range(20)])
    packed = write.archive(batches)
    site.files["/cifar.tar.gz"] = packed
    cifar = replace(
        KNOWN["cifar10"], inside=tuple((name, _md5(content)) for name, content in batches.items()),
        files=(Remote("cifar-10-python.tar.gz", (f"{site.address}/cifar.tar.gz",), _md5(packed), 0.4),),
    )  # fmt: skip
    monkeypatch.setitem(KNOWN, "cifar10", cifar)
    monkeypatch.setitem(checking._SPLITS, "cifar10", {"test": 20, "train": 100})
    return cifar


def test_a_set_is_fetched_unpacked_and_loaded_without_a_variable(small, site, root):
    with pytest.raises(BadInput, match="-> mho data fetch cifar10"):
        load("cifar10")
    assert fetch("cifar10") == root / "cifar10"
    assert sorted(path.name for path in (root / "cifar10").iterdir()) == ["cifar-10-batches-py"]
    assert len(load("cifar10?split=train").labels) == 100
    assert check("cifar10") == ("cifar10", "right", "md5 of 6 files as published; 20 test, 100 train")
    fetch("cifar10?prep=imagenet")
    assert len(site.asked) == 1, "what is there is not fetched again"
    batch = root / "cifar10" / "cifar-10-batches-py" / "data_batch_3"
    batch.write_bytes(b"\0" + batch.read_bytes()[1:])
    assert check("cifar10").state == "wrong" and "data_batch_3" in check("cifar10").detail
    fetch("cifar10")
    assert check("cifar10").state == "right"


def test_the_command_line_fetches_and_checks(small, site, root, monkeypatch):
    from mho.cli.app import app

    monkeypatch.setattr("mho.progress.QUIET_S", -1.0)
    run = CliRunner()
    done = run.invoke(app, ["data", "check", "cifar10"])
    assert done.exit_code == 1 and "missing" in done.output
    done = run.invoke(app, ["data", "fetch", "cifar10"])
    assert done.exit_code == 0, done.output
    assert re.search(r"^fetch cifar-10-python.tar.gz: \d of 1 MB \(100 %\)$", done.output, re.MULTILINE), done.output
    assert "md5 of 6 files as published; 20 test, 100 train" in done.output and "licence: none stated" in done.output
    assert "is here already" in run.invoke(app, ["data", "fetch", "cifar10"]).output
    done = run.invoke(app, ["data", "check"])
    assert done.exit_code == 0 and "right" in done.output and "known are not here" in done.output
    (root / "cifar10" / "x.part").write_bytes(b"12")
    assert "unfinished" in run.invoke(app, ["data", "check", "cifar10"]).output
    (root / "cifar10" / "cifar-10-batches-py" / "test_batch").write_bytes(b"damaged")
    assert run.invoke(app, ["data", "check"]).exit_code == 1
    assert len(site.asked) == 1
    (root / "cifar10" / "test_labels.npy").write_bytes(b"damaged, and read before what is fetched")
    done = run.invoke(app, ["data", "fetch", "cifar10"])
    assert done.exit_code != 0 and isinstance(done.exception, MhoError) and "was fetched, but" in str(done.exception)


def test_torchvisions_folder_is_compared_too(small, site, root):
    fetch("cifar10")
    (root / "cifar10" / "cifar-10-batches-py").rename(root / "cifar-10-batches-py")
    assert check("cifar10").detail.startswith("md5 of 6 files as published")
    (root / "cifar-10-batches-py" / "data_batch_2").write_bytes(b"damaged")
    assert check("cifar10").state == "wrong"


def test_a_checkpoint_with_wrappers_is_fetched_and_read(site, root, monkeypatch, tmp_path):
    from mho.models import resnet20

    torch.manual_seed(3)
    net = resnet20()
    state = {f"module.{key}": value for key, value in net.state_dict().items() if not key.endswith("tracked")}
    torch.save({"state_dict": state, "best_prec1": 91.7}, tmp_path / "checkpoint")
    site.files["/w"] = (tmp_path / "checkpoint").read_bytes()
    old = KNOWN["cifar10_resnet20"]
    remote = replace(old.files[0], addresses=(f"{site.address}/w",), checksum=_md5(site.files["/w"]))
    monkeypatch.setitem(KNOWN, "cifar10_resnet20", replace(old, files=(remote,)))
    with pytest.raises(BadInput, match="mho data fetch cifar10_resnet20"):
        published("cifar10_resnet20")
    fetch("published:cifar10_resnet20")
    found, info = published("cifar10_resnet20")
    assert torch.equal(found.layer3[2].conv2.weight, net.layer3[2].conv2.weight)
    assert (info.accuracy, info.licence) == (0.9173, "BSD-2-Clause")
    assert check("cifar10_resnet20").detail.startswith("md5 of 1 file as published; 269,722 finite parameters")


def test_what_cannot_be_fetched_says_what_to_put_where(root):
    with pytest.raises(UseInstead, match=r"'kws' cannot be fetched \(from: .*energyrunner.*-> .*kws01_mfcc.npz.*, in "):
        fetch("kws")
    with pytest.raises(WrongSetting, match="nothing is known of 'imagenet' -> names are cifar10, cifar100"):
        fetch("imagenet")
    with pytest.raises(WrongSetting, match="comes with scikit-learn"):
        fetch("digits")


def test_what_is_known_says_where_it_is_from():
    from mho.data import names
    from mho.models import published_names

    assert set(KNOWN) == {*names(), *published_names()} - {"digits", "animals", "vww"}  # which are made of others
    for one in KNOWN.values():
        assert one.page and one.licence and one.source and bool(one.files) != bool(one.otherwise)
        for file in one.files:
            algorithm, _, digits = file.checksum.partition(":")
            assert len(bytes.fromhex(digits)) == hashlib.new(algorithm, usedforsecurity=False).digest_size
            assert file.megabytes > 0 and all(address.startswith("http") for address in file.addresses)


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_what_is_missing_is_named_with_the_command(name, root):
    found = check(name)
    assert found.state == "missing"
    assert found.detail == f"mho data fetch {name}" or KNOWN[name].otherwise == found.detail
    with pytest.raises(MhoError) as caught:
        published(name) if KNOWN[name].weights else load(name)
    assert caught.value.remedy.startswith(KNOWN[name].otherwise or f"mho data fetch {name} ")


def test_an_interrupted_download_says_what_it_keeps(tmp_path, monkeypatch):
    from mho.cli import interruption

    monkeypatch.setattr(interruption, "_kept", [])
    interruption.keeps("what has come", tmp_path)
    assert "nothing is kept yet" in interruption.message()
    (tmp_path / f"file.bin{downloading.PARTIAL}").write_bytes(bytes(2_000_000))
    assert f"kept: what has come in {tmp_path} (2.0 MB)\nthe same command goes on from there" in interruption.message()
