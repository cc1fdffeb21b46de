"""The one decorator that compiles: every option of Numba that npnets uses stands here.

`nogil` lets kernels run on several Python threads (`_parallel`), `error_model="numpy"` makes x / 0 an infinity instead
of a branch in each inner loop. `fastmath` stays off: it may reorder sums and drop NaN, and npnets promises both.

Compiled code is cached. Numba notices an edit of the file that a cached function stands in, but not of the files that
it calls into: an edited helper would return its new value and its cached caller the old one. So the cache's folder is
named after a digest of every source that holds compiled code, and any edit begins a new folder. Old ones are removed.
"""

import hashlib
import os
import re
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from llvmlite import binding
from numba.core import types

unliteral: Any = types.unliteral

OPTIONS: Any = numba.config  # its names are made at run time, so that type checkers do not see them

F = TypeVar("F", bound=Callable[..., object])

PACKAGE = Path(__file__).resolve().parent

# Where compiled code stands.
COMPILED = ("_jit.py", "ops/*.py", "kernels/*.py", "bench/peak.py")

KEPT_DAYS = 30

# Bytes of a vector register in each form that `kernels.simd` knows.
FORMS = {"avx512": 64, "avx2": 32, "neon": 16, "plain": 0}


def _form() -> str:
    """Return the widest form of vectors that the code compiled here may use, or the one that NPNETS_SIMD names."""
    if OPTIONS.DISABLE_JIT:
        return "plain"
    forced = os.environ.get("NPNETS_SIMD")
    if forced:
        if forced not in FORMS:
            raise ValueError(f"`NPNETS_SIMD` (={forced!r}) must be one of {', '.join(map(repr, FORMS))}")
        return forced
    if OPTIONS.CPU_FEATURES is not None:  # Numba was told what to compile for
        features = {name[1:] for name in OPTIONS.CPU_FEATURES.split(",") if name.startswith("+")}
    else:
        features = {name for name, there in binding.get_host_cpu_features().items() if there}
    for form, needed in (("avx512", {"avx512f"}), ("avx2", {"avx2", "fma"}), ("neon", {"neon"})):
        if needed <= features:
            return form
    return "plain"


FORM = _form()
VECTOR_BYTES = FORMS[FORM]


def source_digest(package: Path = PACKAGE) -> str:
    """Name the state of all compiled sources, of Numba, and of the options that change what it compiles."""
    digest = hashlib.sha256(f"{numba.__version__} {sys.version} {OPTIONS.BOUNDSCHECK} {FORM}".encode())
    for path in sorted(path for pattern in COMPILED for path in package.glob(pattern)):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def cache_root() -> Path:
    """Return the folder for compiled code: NUMBA_CACHE_DIR if set, else the user's cache folder."""
    if OPTIONS.CACHE_DIR:
        return Path(OPTIONS.CACHE_DIR)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "npnets" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "npnets"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "npnets"


def _cache_folder() -> str | None:
    """Return the folder of this state of the sources, made and writable, or None: then code is compiled afresh."""
    try:
        folder = cache_root() / source_digest()
        new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable-{os.getpid()}"
        probe.touch()
        now = probe.stat().st_mtime
        probe.unlink()
        if new:
            forget_old(folder.parent, now)
    except (OSError, RuntimeError):  # read-only disk, sources inside a zip file, no home folder
        return None
    return str(folder)


def forget_old(root: Path, now: float) -> None:
    """Remove the folders of other states of the sources that no process has begun to use for `KEPT_DAYS`.

    Each that begins makes a file in its folder and takes it away again, so that the folder's time is that of its last
    use.
    """
    for folder in root.iterdir():
        if re.fullmatch("[0-9a-f]{16}", folder.name) and folder.is_dir() and not folder.is_symlink():
            with suppress(OSError):  # another process has just removed it
                if now - folder.stat().st_mtime > KEPT_DAYS * 24 * 3600:
                    shutil.rmtree(folder, ignore_errors=True)


CACHE_FOLDER = _cache_folder()


def jit(function: F) -> F:
    """Compile `function` with Numba on its first call, or leave it alone where NUMBA_DISABLE_JIT is set."""
    users, OPTIONS.CACHE_DIR = OPTIONS.CACHE_DIR, CACHE_FOLDER or ""
    try:
        compiled: Any = numba.njit(nogil=True, error_model="numpy", cache=CACHE_FOLDER is not None)(function)
    finally:
        OPTIONS.CACHE_DIR = users
    if not OPTIONS.DISABLE_JIT:
        template = compiled.get_call_template

        def for_any_value(arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
            """Compile a function called with a constant as for any value: Numba would do it once for each constant."""
            return template(tuple(map(unliteral, arguments)), {name: unliteral(one) for name, one in keywords.items()})

        compiled.get_call_template = for_any_value
    return cast(F, compiled)
