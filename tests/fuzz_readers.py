"""Fuzz the readers of files that are written here: whatever the bytes, they give a result or a ValueError.

    python tests/fuzz_readers.py                    each reader for 60 seconds
    python tests/fuzz_readers.py --seconds 3600 npz

With Atheris (pip install atheris; Linux) the bytes are changed so that they reach code which no bytes have reached
before, as its coverage tells; without it they are changed at random. What is found is left in a file whose name is
printed.
"""

import argparse
import importlib
import importlib.util
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

# Everything that a file says is taken in here.
INSTRUMENTED = ["npnets.data.idx", "npnets.data.cifar", "npnets.models.description", "npnets.weights"]
ALLOWED = (ValueError,)
LIBFUZZER = ("-max_len=32768", "-rss_limit_mb=1024", "-timeout=5", "-verbosity=0", "-print_final_stats=1")


def idx(path):
    importlib.import_module("npnets.data.idx").read_idx(path)


def cifar10(path):
    importlib.import_module("npnets.data.cifar").read_cifar10(path)


def cifar10_archive(path):
    importlib.import_module("npnets.data.cifar").cifar10(path)


def npz(path):
    importlib.import_module("npnets.weights.npz").read(path)


def weights(path):
    """Read an own file: arrays, description, and whether the two fit; the network is tiny."""
    importlib.import_module("npnets.weights").from_pretrained(path)


def tflite(path):
    importlib.import_module("npnets.weights.tflite").load(path)


READERS = {"idx": idx, "cifar10": cifar10, "cifar10-archive": cifar10_archive, "npz": npz, "weights": weights}

if importlib.util.find_spec("tflite"):  # the quick tests do without
    READERS["tflite"] = tflite


def seeds(reader):
    """Return whole files to begin with."""
    if reader == "idx":
        return [bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9]), bytes([0, 0, 13, 2, 0, 0, 0, 1, 0, 0, 0, 2, *range(8)])]
    if reader == "cifar10":
        return [bytes(3073), bytes(range(256)) * 24 + bytes(2)]
    if reader == "cifar10-archive":
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            for name in importlib.import_module("npnets.data.cifar").FILES:
                member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
                member.size = 3073
                archive.addfile(member, io.BytesIO(bytes(3073)))
        return [buffer.getvalue()]
    if reader == "npz":
        buffer = io.BytesIO()
        np.savez(buffer, a=np.zeros((2, 3), ">f2"), b=np.asfortranarray(np.eye(3)), npnets=np.array("{}"))
        return [buffer.getvalue()]
    if reader == "tflite":
        write = importlib.import_module("tflite_files")
        net = write.folded(width=0.01, classes=2)
        return [write.mobilenet(net, 32, kind)[0].content() for kind in ("float32", "uint8", "int8")]
    network, files = importlib.import_module("npnets"), importlib.import_module("npnets.weights.npz")
    describe = importlib.import_module("npnets.models.description").describe
    net = network.MobileNetV1(width=0.01, rows=((8, 1),), num_classes=2, in_channels=1)
    text = json.dumps({"format": "weights 1", **describe(net)})
    return [files.write(net.state_dict(), text)]


def changed(content, rng):
    """Return a copy with a few bytes changed, taken away, doubled, or exchanged for numbers at a limit."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 6)):
        at, length = int(rng.integers(0, len(data) + 1)), int(rng.integers(1, 9))
        how = rng.integers(0, 5)
        if how == 0:
            data[at : at + 1] = rng.bytes(1)
        elif how == 1:
            del data[at : at + length]
        elif how == 2:
            data[at:at] = data[at : at + length]
        elif how == 3:
            data[at : at + 4] = (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\0\0\x80")[
                rng.integers(0, 4)
            ]
        else:
            data = data[:at]
    return bytes(data)


def read(reader, content, folder):
    """Have the content read; other errors than those that are allowed come out."""
    path = Path(folder, "fuzzed")
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            READERS[reader](path)
        except ALLOWED:
            return


def at_random(reader, seconds):
    """Change seeds at random for so long; return how many were read."""
    rng, begin, count, files = np.random.default_rng(), time.monotonic(), 0, seeds(reader)
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() - begin < seconds:
            content = changed(files[rng.integers(0, len(files))], rng)
            try:
                read(reader, content, folder)
            except BaseException:
                Path(f"crash-{reader}").write_bytes(content)
                print(f"the bytes are in crash-{reader}", file=sys.stderr)
                raise
            count += 1
    return count


def guided(reader, options):
    """Hand this process over to Atheris."""
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=INSTRUMENTED):
        importlib.import_module("npnets")
    with tempfile.TemporaryDirectory() as folder:
        atheris.Setup([sys.argv[0], *options], lambda content: read(reader, content, folder))
        atheris.Fuzz()


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("readers", nargs="*", metavar="READER", help=f"of {', '.join(READERS)} (default: all)")
    parser.add_argument("--seconds", type=int, default=60, help="for each of them (default: 60)")
    parser.add_argument("--guided", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)  # what follows is libFuzzer's
    arguments = parser.parse_args()
    unknown = set(arguments.readers) - set(READERS)
    if unknown:
        parser.error(f"there is no reader {', '.join(sorted(unknown))}; there are {', '.join(READERS)}")
    if arguments.guided is not None:
        return guided(*arguments.readers, arguments.guided)
    for reader in arguments.readers or READERS:
        if importlib.util.find_spec("atheris") is None:
            print(
                f"{reader}: {at_random(reader, arguments.seconds)} files, changed at random (Atheris is not installed)"
            )
            continue
        with tempfile.TemporaryDirectory() as corpus:
            for number, content in enumerate(seeds(reader)):
                Path(corpus, f"seed{number}").write_bytes(content)
            options = [*LIBFUZZER, f"-max_total_time={arguments.seconds}"]
            command = [sys.executable, __file__, reader, "--guided", corpus, *options]
            print(f"{reader}: {arguments.seconds} s by Atheris", flush=True)
            done = subprocess.run(command, check=False)
            if done.returncode:
                return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
