"""Checkpoints: the same bytes, the old or the new one whatever happens, and one clear error for every other file."""

import contextlib
import copy
import dataclasses
import io
import json
import os
import pickle
import random
import struct
import time
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save as to_safetensors
from training import IMPLEMENTATION, TINY, USE, pack, python, take, tiny, unpack, write_idx

import npnets
from npnets.train import Trainer, checkpoint
from npnets.train.settings import Settings
from npnets.train.trainer import saved_settings

ARRAYS = {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.array(0.1), "c": np.zeros((0, 2), np.float32)}
ABOUT = {"text": "ü", "number": 0.1, "list": [1, None]}

SECONDS = 2  # in which any file must be refused


@pytest.fixture(autouse=True, scope="module")
def _implementation():
    with npnets.use(IMPLEMENTATION):
        yield


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Return the bytes of a checkpoint in the middle of the second epoch."""
    path = tmp_path_factory.mktemp("good") / "c"
    take(Trainer(TINY, tiny()), 10).save(path)
    return path.read_bytes()


# ---- what is written -------------------------------------------------------------------------------------------------


@pytest.mark.quick
def test_what_was_saved_comes_back(tmp_path):
    checkpoint.save(tmp_path / "c", ARRAYS, ABOUT)
    assert checkpoint.about(tmp_path / "c") == ABOUT
    held = checkpoint.load(tmp_path / "c", ARRAYS)
    assert held.keys() == ARRAYS.keys()
    for name, value in ARRAYS.items():
        assert held[name].dtype == value.dtype
        np.testing.assert_array_equal(held[name], value)
    assert os.listdir(tmp_path) == ["c"]


@pytest.mark.quick
def test_the_same_content_gives_the_same_bytes(tmp_path):
    """Fifty times: safetensors itself writes metadata in an order that changes with each call."""
    turned = {"b": np.asfortranarray(ARRAYS["b"]), **{name: ARRAYS[name] for name in "ca"}}
    contents = set()
    for arrays in 25 * [ARRAYS, turned]:
        checkpoint.save(tmp_path / "c", arrays, ABOUT)
        contents.add((tmp_path / "c").read_bytes())
    assert len(contents) == 1


@pytest.mark.quick
def test_it_is_synced_before_it_is_renamed(tmp_path, monkeypatch):
    """What the name stands for is on the disk before the name is, and the folder after it."""
    seen = []
    for name in "fsync", "replace":
        call = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, name=name, call=call: (seen.append(name), call(*a))[1])
    checkpoint.save(tmp_path / "c", ARRAYS, ABOUT)
    assert seen == ["fsync", "replace", *["fsync"] * hasattr(os, "O_DIRECTORY")]


@pytest.mark.quick
@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["full", "Ctrl-C"])
def test_a_save_that_fails_leaves_the_old_one_and_nothing_else(tmp_path, monkeypatch, call, error):
    checkpoint.save(tmp_path / "c", ARRAYS, ABOUT)
    before = (tmp_path / "c").read_bytes()

    def fail(*arguments):
        raise error

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(type(error)):
        checkpoint.save(tmp_path / "c", ARRAYS, {"another": "one"})
    assert (tmp_path / "c").read_bytes() == before
    assert os.listdir(tmp_path) == ["c"]


@pytest.mark.quick
def test_a_description_that_is_not_finite_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        checkpoint.save(tmp_path / "c", ARRAYS, {"loss": float("nan")})
    assert os.listdir(tmp_path) == []


KILLED = """
import json, os, random, signal, sys, time
import numpy as np
from npnets.train import checkpoint

def content(version):
    return {f"tensor{n}": np.full((128, 512), version, np.float32) for n in range(16)}

def check():
    version = checkpoint.about("c")["version"]
    arrays = checkpoint.load("c", content(0))
    assert {float(part) for value in arrays.values() for part in (value.min(), value.max())} == {version}, version
    return version

chance, versions, parts = random.Random(0), [0], 0
checkpoint.save("c", content(0), {"version": 0})
for kill in range(50):
    ready, child = os.pipe(), None
    child = os.fork()
    if not child:
        version = versions[-1]
        os.write(ready[1], b"x")
        while True:
            version += 1
            checkpoint.save("c", content(version), {"version": version})
    os.read(ready[0], 1)
    time.sleep(chance.uniform(0, 0.06))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(ready[0]), os.close(ready[1])
    parts += os.path.exists(".c.part")
    versions.append(check())
assert versions == sorted(versions)
checkpoint.save("c", content(-1), {"version": -1})  # over the remains of the last kill
assert check() == -1 and os.listdir() == ["c"]
print(json.dumps([len(versions) - 1, len(set(versions)), parts]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kill -9 and fork are POSIX's")
def test_50_times_kill_9_leave_the_old_or_the_new_one(tmp_path):
    """A child saves 4 MB again and again until it is killed; each time one whole version must be there."""
    kills, different, parts = json.loads(python("-c", KILLED, cwd=tmp_path).stdout)
    assert kills == 50
    assert different > 5, "hardly a save was ever completed"
    assert parts > 5, "hardly a kill hit a save"


# ---- files that are none ---------------------------------------------------------------------------------------------


class Bomb:
    """What a pickle can do to whoever loads it."""

    def __reduce__(self):
        return (open, ("exploded", "w"))


def zipped():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("data.pkl", pickle.dumps(Bomb()))
    return file.getvalue()


def header(text, data=b""):
    return struct.pack("<Q", len(text)) + text + data


def claims(shape, size, dtype="F32"):
    return json.dumps({"net.x": {"dtype": dtype, "shape": shape, "data_offsets": [0, size]}}).encode()


FOREIGN = {
    "empty": b"",
    "png": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8,
    "zip": zipped(),
    "pickle": pickle.dumps(Bomb()),
    "text": b"epoch,lr,train_loss\n" * 20,
    "zeros": bytes(4096),
    "not JSON": header(b"{" * 64),
    "deep JSON": header(b'{"a":' * 200_000),
    "not UTF-8": header(b'{"__metadata__":{"npnets":"\xff"}}'),
    "32 GiB that are not there": header(claims([1 << 33], 1 << 35)),
    "a size that overflows": header(claims([1 << 62, 4, 4], 0)),
    "0 x 2**62 values": header(claims([0, 1 << 62], 0)),
    "a header of 2**63 bytes": struct.pack("<Q", 1 << 63) + b"{}",
    "a header of 90 MB": header(b" " * 90_000_000),
    "another safetensors": to_safetensors({"a": np.zeros(3)}, {"format": "pt"}),
    "another without metadata": to_safetensors({"a": np.zeros(3)}),
    "bfloat16": header(claims([2], 4, "BF16"), b"1234"),
}


def altered(good):
    """Name files that are almost right, and what their one error must say."""
    head, about, data = unpack(good)
    name = "net.stem.conv.weight"
    shape = {**head, name: {**head[name], "shape": list(reversed(head[name]["shape"]))}}
    integers = {**head, name: {**head[name], "dtype": "I32"}}
    other = {("net.x" if key == name else key): value for key, value in head.items()}
    first = min((value["data_offsets"], key) for key, value in head.items() if key != "__metadata__")[1]
    missing = {key: {**value, "data_offsets": [at - head[first]["data_offsets"][1] for at in value["data_offsets"]]}
               for key, value in head.items() if key not in (first, "__metadata__")}  # fmt: skip
    nan = bytearray(data)
    struct.pack_into("<f", nan, head[name]["data_offsets"][0], float("nan"))
    settings = about["settings"]

    def told(**changes):
        return pack(head, {**about, **changes}, data)

    def asked(**changes):
        return told(settings={**settings, **changes})

    return {
        "another shape": (pack(shape, about, data), f"`{name}` is float32 of shape (8, 1, 3, 3), not float32 of (3, 3"),
        "another dtype": (pack(integers, about, data), f"`{name}` is I32 of shape (3, 3, 1, 8), not float32 of (3, 3"),
        "another name": (pack(other, about, data), f"`{name}` is missing; `net.x` is unknown"),
        "a missing tensor": (pack(missing, about, data[head[first]["data_offsets"][1] :]), f"`{first}` is missing"),
        "NaN in a tensor": (pack(head, about, bytes(nan)), f"`{name}` holds NaN or infinity"),
        "NaN in the description": (told(epoch=float("nan")), "NaN is not a number of JSON"),
        "infinity by digits": (pack(head, json.dumps(about | {"epoch": 9}).replace(": 9,", ": 1e999,"), data), "=inf"),
        "a description that is no table": (pack(head, "[1]", data), "has not the format"),
        "a description that is no JSON": (pack(head, "{", data), "is not a checkpoint"),
        "deep JSON in the description": (pack(head, "[" * 100_000, data), "is not a checkpoint"),
        "wide JSON in the description": (pack(head, "[" + "[]," * 2_000_000 + "0]", data), "a header of 60"),
        "2 MB of lists in the description": (pack(head, "[" + "[]," * 690_000 + "0]", data), "has not the format"),
        "a number of 100 000 digits": (pack(head, '{"a":' + "9" * 100_000 + "}", data), "is not a checkpoint"),
        "another format": (told(format="checkpoint 2"), "has not the format 'checkpoint 1'"),
        "no settings": (told(settings=None), "the settings are a NoneType"),
        "a missing setting": (told(settings={}), "the settings differ from npnets' in batch_size, body"),
        "an unknown setting": (asked(depth=3), "the settings differ from npnets' in depth"),
        "width 1e9": (asked(width=1e9), "`width` (=1000000000.0) must be greater than 0 and at most 16"),
        "width 16 in a small file": (asked(width=16.0, body="paper"), "bytes cannot hold the network"),
        "width 16 in a small body": (asked(width=16.0), "bytes cannot hold the network"),
        "width of 400 digits": (asked(width=10**400), "cannot be resumed"),
        "lr of 400 digits": (asked(lr=10**400), "cannot be resumed"),
        "lr infinite": (asked(lr=-1), "`lr` (=-1) must be at least 0 and finite"),
        "batch_size 1e12": (asked(batch_size=10**12), "`batch_size` (=1000000000000) must be at most the number of tr"),
        "batch_size 1e12 as a float": (asked(batch_size=1e12), "must be a whole number"),
        "epochs 1e18": (asked(epochs=10**18), "`epochs` (=1000000000000000000) must be at most 5000"),
        "groups 1e9": (asked(groups=10**9), "`groups` (=1000000000) must be at most 16"),
        "groups 1e9 of shufflenet": (asked(groups=10**9, model="shufflenet"), "`groups` (=1000000000) must be at most"),
        "crop 1e9": (asked(crop=10**9), "`crop` (=1000000000) must be less than the images' shorter side"),
        "another network": (asked(model="shufflenet"), "its description is of another network"),
        "another width": (asked(width=0.3), "of shape"),
        "a string for a number": (asked(lr="0.1"), "`lr` (='0.1') must be a number"),
        "a boolean for a number": (asked(seed=True), "`seed` (=True) must be a whole number"),
        "null for a number": (asked(epochs=None), "`epochs` (=None) must be a whole number"),
        "a list for a name": (asked(model=["mobilenet"]), "`model` (=['mobilenet']) must be one of"),
        "a table for a switch": (asked(flip={}), "`flip` (={}) must be a bool"),
        "a string for a list": (asked(skip_decay="1d"), "`skip_decay` (='1d') must be a list"),
        "a megabyte for a name": (asked(model="x" * 1_000_000), "`model` (='xxxx"),
        "an unknown data set": (asked(data="nowhere"), "(='nowhere') must be one of"),
        "a number for a data set": (asked(data=5), "`data` (=5) must be a str"),
        "a negative epoch": (told(epoch=-1), "`epoch` (=-1) must be at least 0"),
        "a position too far": (told(position=8), "`position` (=8) is not one of its training"),
        "a position that is true": (told(position=True), "`position` (=True) must be a whole number"),
        "more history than epochs": (told(history=2 * about["history"]), "its history is not one of 1 epochs"),
        "words in the history": (told(history=[[1, *"abcdefg"]]), "its log holds something that is not a number"),
        "a short row": (told(history=[[1]]), "cannot be resumed"),
        "sums of other steps": (told(running={**about["running"], "steps": 2}), "is not one of its training"),
        "words in the sums": (told(running={**about["running"], "loss": "2"}), "something that is not a number"),
        "epochs fewer than done": (asked(epochs=1), "`epochs` (=1) must be at least those begun already (=2)"),
        "other images": (told(mean=[0.5]), "it was trained on other images than those of"),
        "other classes": (told(classes=["a"]), "it was trained on other images or classes than those of"),
        "no position": (told(position=None), "must be a whole number"),
    }  # fmt: skip


def refused(path):
    """Return the one error that every reader of this file gives, soon."""
    start = time.process_time()
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the callers compare the text)
        Trainer.resume(path, tiny())
    assert time.process_time() - start < SECONDS
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    assert len(text) < 600 + len(str(path))
    return text


@pytest.mark.quick
@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_files(tmp_path, name):
    path = tmp_path / "c"
    path.write_bytes(FOREIGN[name])
    assert "is not a checkpoint of npnets, or a damaged one: " in refused(path)
    with pytest.raises(ValueError, match="is not a checkpoint of npnets, or a damaged one: "):
        saved_settings(path)


@pytest.mark.quick
def test_what_is_no_file_at_all(tmp_path):
    for path in tmp_path, tmp_path / "nothing":
        for read in checkpoint.about, saved_settings, lambda path: Trainer.resume(path, tiny()):
            with pytest.raises(FileNotFoundError, match="there is no checkpoint"):
                read(path)


def test_each_way_to_be_almost_right_has_its_error(tmp_path, good):
    path = tmp_path / "c"
    path.write_bytes(good)
    Trainer.resume(path, tiny())
    for name, (content, message) in altered(good).items():
        if "data set" not in name or "number" in name:  # which data it is, the caller decides
            path.write_bytes(content)
            assert message in refused(path), name


def test_a_file_cut_off_anywhere(tmp_path, good):
    """Within the length, the header, the data, and one byte too many."""
    path = tmp_path / "c"
    (size,) = struct.unpack("<Q", good[:8])
    chance = random.Random(0)
    cuts = {*range(10), size // 2, *range(size + 6, size + 11), len(good) // 2, len(good) - 4, len(good) - 1}
    for cut in sorted(cuts | {chance.randrange(len(good)) for _ in range(50)}):
        path.write_bytes(good[:cut])
        assert "is not a checkpoint of npnets, or a damaged one: " in refused(path), cut
    path.write_bytes(good + b"\0")
    assert "is not a checkpoint of npnets, or a damaged one: " in refused(path)


def test_other_data_than_then(tmp_path, good):
    path = tmp_path / "c"
    path.write_bytes(good)
    for data, message in (
        (tiny(side=12), "it was trained on other images or classes than those of 'tiny'"),
        (tiny(classes=2), "it was trained on other images or classes than those of 'tiny'"),
        (tiny(images=64), "it was trained on other images than those of 'tiny'"),
    ):
        with pytest.raises(ValueError, match=message):
            Trainer.resume(path, data)


VALUES = (
    None, True, False, 0, 1, -1, 7, 2, 0.5, -0.0, 1e-320, 1e308, 1e999, -1e999, float("nan"), 10**18, 10**400,
    -(10**30), "", "0.1", "mobilenet", "shufflenet", "paper", "linear", "\0", "\ud800", "x" * 5000, "1d", [], [[]], [0],
    [1, 2.5], ["1d"], ["depthwise", "1d"], {}, {"a": 1}, [[1, 2, 3, 4, 5, 6, 7, 8]], [None] * 8, {"steps": 3},
)  # fmt: skip


def places(value, path=()):
    """Name each place in a nest of tables and lists."""
    if path:
        yield path
    for key, part in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(part, (*path, key))


def mutate(about, chance):
    """Change one to three places: another value, gone, or a stranger beside it."""
    about = json.loads(json.dumps(about))
    for _ in range(chance.choice((1, 1, 2, 3))):
        *path, last = chance.choice(list(places(about)))
        where = about
        for key in path:
            where = where[key]
        kind = chance.random()
        if kind < 0.75:
            where[last] = copy.deepcopy(chance.choice(VALUES))
        elif kind < 0.85 or isinstance(where, list):
            del where[last]
        else:
            where[chance.choice(("", "x", "epoch", "lr"))] = copy.deepcopy(chance.choice(VALUES))
    return about


def test_400_mutated_descriptions(tmp_path, good):
    """Only the two errors come out, soon; and what is accepted can be trained on."""
    head, about, data = unpack(good)
    chance, accepted = random.Random(0), 0
    path = tmp_path / "c"
    for number in range(400):
        mutant = mutate(about, chance)
        path.write_bytes(pack(head, mutant, data))
        start = time.process_time()
        with contextlib.suppress(ValueError, FileNotFoundError):
            assert isinstance(saved_settings(path), Settings)
        with contextlib.suppress(ValueError, FileNotFoundError):
            resumed = Trainer.resume(path, tiny())
            accepted += 1
            try:
                take(resumed, min(1, resumed.steps - resumed.steps_done)).save(path)
            except FloatingPointError:  # a huge rate
                assert resumed.settings.lr > 1 or resumed.settings.momentum > 1 or resumed.settings.weight_decay > 1
            except ValueError as error:
                raise AssertionError(number, mutant) from error
        assert time.process_time() - start < SECONDS, (number, mutant)
    assert 10 < accepted < 200


REFUSE = """
import json, sys, time
seen = []
sys.addaudithook(lambda event, arguments: seen.append(event) if "pickle" in event else None)
from npnets.cli import main
done = {}
for name in json.load(open("names.json")):
    start = time.process_time()
    status = main(["train", "--resume", name])
    done[name] = [status, time.process_time() - start]
memory = None
if sys.platform == "linux":
    memory = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024
json.dump([done, seen, memory], open("done.json", "w"))
"""


def test_npnets_train_refuses_them_all_in_a_line_each_and_in_little_memory(tmp_path, good):
    """By `--resume`, one after the other in one process: status 1, a line, no pickle, less than 300 MB at the peak."""
    write_idx(tmp_path / "tiny", tiny())
    head, about, data = unpack(good)
    settings = dataclasses.asdict(TINY) | {"data": "tiny"}
    base = pack(head, {**about, "settings": settings, "classes": ["0", "1", "2", "3"]}, data)
    files = FOREIGN | {name: content for name, (content, _) in altered(base).items()}
    files |= {f"cut at {cut}": base[:cut] for cut in (4, 100, len(base) - 1)}
    names = []
    for number, content in enumerate(files.values()):
        names.append(f"{number}.safetensors")
        (tmp_path / names[-1]).write_bytes(content)
    names += ["tiny", "nowhere"]  # a folder without a checkpoint; nothing
    (tmp_path / "names.json").write_text(json.dumps(names))
    ran = python("-c", REFUSE, cwd=tmp_path)
    done, pickles, memory = json.loads((tmp_path / "done.json").read_text())
    lines = ran.stderr.decode().splitlines()
    assert len(lines) == len(done) == len(names)
    for name, line in zip(names, lines, strict=True):
        assert line.startswith("npnets: error: "), line
        assert done[name][0] == 1, line
        assert done[name][1] < SECONDS, line
    assert pickles == []
    assert not (tmp_path / "exploded").exists()
    assert memory is None or memory < 300
    assert not (tmp_path / "runs").exists()
    (tmp_path / "good").write_bytes(base)  # and it was the alterations: without them the same file goes on
    assert "test accuracy" in python("-m", "npnets", "train", *USE, "--resume", "good", cwd=tmp_path).stdout.decode()
