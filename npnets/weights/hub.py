"""Files of the Hugging Face hub, through its own package, which keeps them on the disk."""

import os
import re
from pathlib import Path

from npnets._optional import need
from npnets.train.run import CHECKPOINT
from npnets.weights.formats import File

# The names that libraries give to the weights of a model, there and in a folder.
FILES = ("model.safetensors", CHECKPOINT, "pytorch_model.bin", "model.keras", "model.weights.h5", "tf_model.h5")
ENDINGS = (".safetensors", ".npz", ".h5", ".keras", ".pth", ".pt", ".tar", ".bin", ".tflite")  # of no model's name
ID = re.compile(r"([\w.-]+/[\w.-]+)(?:/([\w./-]+))?")


def local(file: File) -> File:
    """Return the path of a file of weights: of this one, of the one in this folder, or of the one with this hub id.

    Raises
    ------
    FileNotFoundError
        There is none, or the hub cannot be reached.
    ModuleNotFoundError
        It can only be a hub id, and huggingface_hub is not installed.
    """
    if not isinstance(file, str | os.PathLike) or Path(file).is_file():
        return file
    path = Path(file)
    if path.is_dir():
        for name in FILES:
            if (path / name).is_file():
                return path / name
        raise FileNotFoundError(f"the folder {path} holds none of {', '.join(FILES)}")
    found = ID.fullmatch(file) if isinstance(file, str) else None
    # A path that is misspelt is not to be asked for on the hub, as far as the two can be told apart.
    if not found or path.is_absolute() or path.parent.is_dir() or (not found[2] and path.suffix in ENDINGS):
        raise FileNotFoundError(f"there is no file {path}")
    return _download(found[1], (found[2],) if found[2] else FILES)


def _download(repository: str, names: tuple[str, ...]) -> str:
    hub = need("huggingface_hub", "weights", f"{repository!r} is not a file here, and from the hub it")
    errors = need("huggingface_hub.errors", "weights", "the hub")
    reached = True
    for name in names:
        try:
            # Where the hub cannot be reached it is asked once, which takes long enough, and then only the disk.
            path: str = hub.hf_hub_download(repository, name, local_files_only=not reached)
        except errors.LocalEntryNotFoundError:
            reached = False
            continue
        except errors.EntryNotFoundError:
            continue
        except (errors.HfHubHTTPError, errors.HFValidationError, OSError) as error:
            raise FileNotFoundError(f"{repository!r} is no file here, and the hub says: {error}") from None
        return path
    where = "on the hub it has" if reached else "the hub is not reached; what was kept of it here has"
    raise FileNotFoundError(f"{repository!r} is no file here, and {where} none of {', '.join(names)}")
