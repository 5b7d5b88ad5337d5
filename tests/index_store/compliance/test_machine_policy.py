"""The machine's own policy is trusted only where root alone can write it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from index_store.compliance import machine_policy
from index_store.compliance.policy import SHIPPED_POLICY, load_policy
from index_store.errors import PolicyError


@pytest.fixture
def etc(tmp_path, monkeypatch) -> Path:
    """Where the machine's policy lies in this test: a folder that everybody may write to has none that is trusted."""
    path = tmp_path / "etc" / "policy.toml"
    monkeypatch.setattr(machine_policy, "MACHINE_POLICY", path)
    return path


def test_without_a_file_the_named_policy_and_the_shipped_one_hold(etc, tmp_path):
    assert machine_policy.machine_policy() is None
    assert machine_policy.choose_policy(None, SHIPPED_POLICY) == (SHIPPED_POLICY, False)
    assert machine_policy.choose_policy(tmp_path / "mine.toml", SHIPPED_POLICY) == (tmp_path / "mine.toml", False)
    machine_policy.refuse_models_of_users(tmp_path)
    assert not load_policy().mandatory


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o646])
def test_a_file_that_others_may_write_stops_everything(etc, mode):
    etc.parent.mkdir()
    shutil.copyfile(SHIPPED_POLICY, etc)
    etc.chmod(mode)
    with pytest.raises(
        PolicyError, match=r"policy\.toml: is not trusted, because others than root may change .*policy"
    ):
        load_policy()


def test_a_link_to_nowhere_is_no_missing_policy(etc):
    etc.parent.mkdir()
    etc.symlink_to(etc.parent / "nowhere.toml")
    with pytest.raises(PolicyError, match=r"policy\.toml: cannot be looked at \(no such file or directory\)"):
        load_policy()
