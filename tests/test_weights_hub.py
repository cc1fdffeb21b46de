"""Weights by a hub id: from a folder laid out as huggingface_hub keeps what it has; no network is asked."""

import io
import json
import os
import subprocess
import sys

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from safetensors.numpy import save
from test_weights import file_of, same

import npnets
from npnets.weights import from_pretrained, hub

COMMIT = "0123456789abcdef0123456789abcdef01234567"

SCRIPT = """
import json, sys
import npnets
answers = []
for name in sys.argv[2:]:
    try:
        npnets.save_weights(npnets.from_pretrained(name), f"{sys.argv[1]}/{len(answers)}.npz")
        answers.append("")
    except (ValueError, OSError, ModuleNotFoundError) as error:
        answers.append(f"{type(error).__name__}: {error}")
print(json.dumps(answers))
"""


def keep(cache, repository, name, content):
    """Put a file where huggingface_hub puts what it has downloaded."""
    folder = cache / ("models--" + repository.replace("/", "--"))
    path = folder / "snapshots" / COMMIT / name
    for parent in folder / "refs", path.parent:
        parent.mkdir(parents=True, exist_ok=True)
    (folder / "refs" / "main").write_text(COMMIT)
    path.write_bytes(content)


def test_hub_ids(tmp_path):
    cache, out = tmp_path / "cache", tmp_path / "out"
    out.mkdir()
    arrays, other = file_of("timm")[1], file_of("pytorchcv, shufflenet")[1]
    buffer = io.BytesIO()
    np.savez(buffer, **other)
    keep(cache, "timm/mobilenetv1_025", "model.safetensors", save(arrays))
    keep(cache, "somebody/nets", "files/shufflenet_g8.npz", buffer.getvalue())
    names = (
        "timm/mobilenetv1_025", "somebody/nets/files/shufflenet_g8.npz", "somebody/nets", "somebody/else", "some..b/x",
    )  # fmt: skip
    variables = {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(cache), "HF_HOME": str(tmp_path)}
    command = [sys.executable, "-W", "error", "-c", SCRIPT, str(out), *names]
    done = subprocess.run(
        command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert answers[:2] == ["", ""]
    for number in range(2):
        assert same(npnets.from_pretrained(out / f"{number}.npz"), npnets.from_pretrained((arrays, other)[number]))
    for repository, answer in zip(names[2:4], answers[2:4], strict=True):
        known = ", ".join(hub.FILES)
        assert answer == (
            f"FileNotFoundError: '{repository}' is no file here, and the hub is not reached; what was kept of it here "
            f"has none of {known}"
        )
    assert answers[4].startswith("FileNotFoundError: 'some..b/x' is no file here, and the hub says: ")


@pytest.mark.parametrize(
    ("error", "asked", "said"),
    [
        (LocalEntryNotFoundError, 1, "the hub is not reached; what was kept of it here has"),
        (EntryNotFoundError, len(hub.FILES), "on the hub it has"),
    ],
)
def test_a_hub_that_cannot_be_reached_is_asked_once(error, asked, said, monkeypatch, tmp_path):
    """Each question takes half a minute then."""
    calls = []

    def download(repository, name, local_files_only=False):
        calls.append((name, local_files_only))
        raise error("no")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(FileNotFoundError, match=f"^'some/net' is no file here, and {said} none of model.safetensors, "):
        from_pretrained("some/net")
    assert [name for name, _ in calls] == list(hub.FILES)
    assert sum(not local for _, local in calls) == asked
