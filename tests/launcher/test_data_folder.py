"""The data folder: one owner at a time, private, found again."""

import subprocess
import sys
from pathlib import Path

import pytest

from fintech_core.embedded import secret_keys
from fintech_core.embedded.folders import LOG_LIMIT, AlreadyRunning, DataFolder, make_private
from fintech_core.embedded.messages import LaunchError
from tests.launcher.support import data_folder

OWN_IT = """
import os, sys
from pathlib import Path
from fintech_core.embedded.folders import DataFolder
folder = DataFolder(Path(sys.argv[1]))
folder.take("make run")
print(os.getpid(), flush=True)
sys.stdin.read()
"""


def test_a_second_launcher_is_told_who_has_the_folder() -> None:
    with data_folder() as folder:
        owner = subprocess.Popen(
            [sys.executable, "-c", OWN_IT, str(folder.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert owner.stdout is not None
            pid = owner.stdout.readline().strip()
            with pytest.raises(AlreadyRunning, match=rf"pid {pid}, make run"):
                folder.take("make run")
        finally:
            owner.kill()
            owner.communicate()
        folder.take("after a kill -9 of the owner")


def test_a_stale_lock_file_does_not_hold_the_folder() -> None:
    with data_folder() as folder:
        (folder.path / "launcher.lock").write_text("pid 1, make run\n")
        folder.take("make run")


def test_the_same_folder_always_has_the_same_short_path_for_sockets(tmp_path: Path) -> None:
    long = tmp_path / ("a folder with a long name " * 8).strip()
    assert DataFolder(long).sockets == DataFolder(long).sockets
    assert DataFolder(long).sockets != DataFolder(tmp_path).sockets
    assert len(bytes(DataFolder(long).sockets / ".s.PGSQL.5432.lock")) < 104


def test_a_link_in_place_of_the_sockets_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "sockets").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LaunchError, match="is not ours"):
        make_private(tmp_path / "sockets", (tmp_path / "elsewhere").stat().st_uid)


def test_an_open_sockets_folder_of_ours_is_closed_to_others(tmp_path: Path) -> None:
    folder = tmp_path / "sockets"
    folder.mkdir(mode=0o777)
    make_private(folder, folder.stat().st_uid)
    assert folder.stat().st_mode & 0o777 == 0o700


def test_secrets_are_random_private_and_kept() -> None:
    with data_folder() as one, data_folder() as another:
        first = secret_keys.keep(one.path)
        assert secret_keys.keep(one.path) == first
        assert (one.path / "secrets.json").stat().st_mode & 0o777 == 0o600
        assert first["SECRET_KEY"] != first["JWT_SIGNING_KEY"]
        assert min(map(len, first.values())) >= 64
        assert secret_keys.keep(another.path) != first


def test_a_log_that_has_grown_is_set_aside() -> None:
    with data_folder() as folder:
        log = folder.log("web")
        log.write_bytes(b"x" * (LOG_LIMIT + 1))
        assert folder.log("web") == log
        assert not log.exists()
        assert (folder.logs / "web.log.1").exists()
