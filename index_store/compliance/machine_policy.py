"""The policy that the administrator of a machine makes mandatory, and which models may judge under it.

A file that root alone can change is read in place of every other policy, and nothing that a user can set turns it off.
Standard library only.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from index_store.errors import PolicyError

MACHINE_POLICY = Path("/etc/imgsearch/policy.toml")
_ROOT_USER = 0
_WEIGHTS = Path(__file__).parent.parent / "weights"


def machine_policy() -> Path | None:
    """Return the policy of this machine, or None where there is none.

    Raises:
        PolicyError: there is one, and somebody else than root could have written it.
    """
    if not os.path.lexists(MACHINE_POLICY) and _may_be_entered(MACHINE_POLICY.parent):
        return None
    try:
        writable = _writable_by_others(MACHINE_POLICY)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise PolicyError(f"{MACHINE_POLICY}: cannot be looked at ({reason}); nothing is shown") from error
    if writable is not None:
        raise PolicyError(
            f"{MACHINE_POLICY}: is not trusted, because others than root may change {writable}; as root: "
            f"chown root {writable} && chmod go-w {writable}"
        )
    return MACHINE_POLICY


def choose_policy(named: Path | None, shipped: Path) -> tuple[Path, bool]:
    """Return the policy that holds and whether it is the machine's: that one first, then the named, then the shipped.

    Raises:
        PolicyError: the machine has a policy of its own, and another was named; or it is not trusted.
    """
    mandatory = machine_policy()
    if mandatory is None:
        return named or shipped, False
    if named is not None and not _is_same_file(named, mandatory):
        raise PolicyError(
            f"{mandatory}: is the policy of this machine, and {named} cannot replace it; "
            "leave out --policy and IMGSEARCH_POLICY"
        )
    return mandatory, True


def refuse_models_of_users(*folders: Path) -> None:
    """Refuse an encoder or a photo rule that the user could have made, where the machine's policy is mandatory.

    What ships with the program is accepted, and what root alone can change.

    Raises:
        PolicyError: one of the folders is neither.
    """
    if machine_policy() is None:
        return
    for folder in folders:
        ships = folder.resolve().is_relative_to(_WEIGHTS.resolve())
        if not ships and _writable_by_others(folder) is not None:
            raise PolicyError(
                f"{folder}: may not be used to judge photos: the policy of this machine is mandatory, and others than "
                "root may change this folder; use the encoder that ships"
            )


def _writable_by_others(path: Path) -> Path | None:
    """Return what lets others than root change a file or folder: itself or a folder above; None where nothing does."""
    real, above = Path(os.path.realpath(path)), Path(os.path.realpath(path.parent))
    for place in dict.fromkeys((real, *real.parents, above, *above.parents)):
        status = os.stat(place)
        if status.st_uid != _ROOT_USER or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return place
    return None


def _may_be_entered(folder: Path) -> bool:
    """Whether it is known what lies in a folder; one that is not there holds nothing."""
    try:
        os.stat(folder / os.curdir)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return True


def _is_same_file(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False
