"""The accounting database of the test cluster: MariaDB and slurmdbd, on loopback."""

from __future__ import annotations

import os
import secrets
import subprocess
from pathlib import Path

# slurmdbd finds it here; like Slurm's own configuration it bears the mark of the tests.
CONFIG = Path("/etc/slurm/slurmdbd.conf")
PROGRAMS = ("slurmdbd", "mariadbd", "mariadb-install-db", "mariadb", "sacct", "sacctmgr")
PACKAGES = "mariadb-server slurmdbd"
PORT = 17816
DATABASE_PORT = 17815
ACCOUNT = "flopline"

NONE = "AccountingStorageType=accounting_storage/none"
KEPT = f"""AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={PORT}
# Of munge, in this case.
AccountingStoragePass={{socket}}
AccountingStorageEnforce=associations"""

TEMPLATE = """{mark}
AuthType=auth/munge
AuthInfo=socket={state}/munge.socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser=root
LogFile={state}/slurmdbd.log
PidFile={state}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database_port}
StorageUser=slurm
StoragePass={password}
StorageLoc=slurm
"""


def prepare(state: Path, mark: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Write all that a database needs below `state`; the commands of MariaDB and slurmdbd."""
    data = state / "database"
    subprocess.run(
        ["mariadb-install-db", "--user=root", f"--datadir={data}", "--skip-test-db",
         "--auth-root-authentication-method=normal", "--skip-name-resolve"],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    password = secrets.token_hex(16)
    first = state / "first.sql"
    first.touch(mode=0o600)
    first.write_text(
        "CREATE DATABASE slurm;\n"
        f"CREATE USER slurm@'127.0.0.1' IDENTIFIED BY '{password}';\n"
        "GRANT ALL ON slurm.* TO slurm@'127.0.0.1';\n"
    )
    CONFIG.touch(mode=0o600)
    # slurmdbd refuses a file that others can read.
    os.chmod(CONFIG, 0o600)  # noqa: PTH101
    CONFIG.write_text(
        TEMPLATE.format(
            mark=mark, state=state, port=PORT, database_port=DATABASE_PORT, password=password
        )
    )
    database = (
        "mariadbd", "--no-defaults", "--user=root", f"--datadir={data}",
        f"--socket={state}/database.socket", f"--pid-file={state}/database.pid",
        "--bind-address=127.0.0.1", f"--port={DATABASE_PORT}", "--skip-name-resolve",
        f"--init-file={first}",
    )  # fmt: skip
    return database, ("slurmdbd", "-D")


def answers() -> bool:
    """Whether slurmdbd and the database behind it answer."""
    return _sacctmgr("--noheader", "list", "cluster").returncode == 0


def enrol(cluster: str) -> None:
    """Give root an account on the cluster; without one no job is taken."""
    for words in (
        ("add", "cluster", cluster),
        ("add", "account", ACCOUNT, f"cluster={cluster}"),
        ("add", "user", "root", f"account={ACCOUNT}"),
    ):
        done = _sacctmgr("--immediate", *words)
        if done.returncode and "othing new" not in done.stdout:
            raise RuntimeError(f"sacctmgr {' '.join(words)}: {done.stdout}{done.stderr}")


def _sacctmgr(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sacctmgr", *words], capture_output=True, text=True, check=False)
