"""The programs that can be compared, and how they are built and started.

Everything that is built or installed is in `target/compare`.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PEERS = Path(__file__).resolve().parent / "peers"
CACHE = ROOT / "target" / "compare"
CARGO = CACHE / "cargo"

#: The number of cores of the machine that the published figures are from.
WORKERS = 2


class Missing(Exception):
    """Something that is needed is missing. The message says what to do."""


@dataclass(frozen=True)
class Program:
    """A program with a name of its own in the tables."""

    package: str
    """What is built: `ours`, `express`, or a folder of `peers`."""
    environment: dict = field(default_factory=dict)
    commit: str = ""
    """The commit that it is built from, if that is not the current one."""

    @property
    def is_bare(self):
        return self.environment.get("SESSIONS") == "off"

    @property
    def command(self):
        if self.package == "express":
            return ["node", str(CACHE / "express" / "server.js")]
        if self.package != "ours":
            return [str(CARGO / "release" / f"peer-{self.package}")]
        if self.commit:
            return [str(_before(self.commit) / "cloud-run-sessions")]
        target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
        return [str(target / "release" / "cloud-run-sessions")]

    @property
    def folder(self):
        """The folder in which the program is started and finds its templates."""
        return _before(self.commit) if self.commit else ROOT


_BARE = {"SESSIONS": "off"}

#: By name, in the order of tables.
PROGRAMS = {
    "ours": Program("ours", {"ROCKET_WORKERS": str(WORKERS)}),
    "crate": Program("crate"),
    "actix": Program("actix"),
    "axum": Program("axum"),
    "express": Program("express"),
    "express-cluster": Program("express", {"WORKERS": str(WORKERS)}),
    "bare-rocket": Program("crate", _BARE),
    "bare-actix": Program("actix", _BARE),
    "bare-axum": Program("axum", _BARE),
    "bare-express": Program("express", _BARE),
}

#: The same program without sessions.
BARE = {
    "ours": "bare-rocket",
    "crate": "bare-rocket",
    "actix": "bare-actix",
    "axum": "bare-axum",
    "express": "bare-express",
}


def add_before(commit):
    """Adds the application of another commit as the program `before`."""
    done = subprocess.run(
        ["git", "rev-parse", "--short", "--verify", f"{commit}^{{commit}}"],
        cwd=ROOT, capture_output=True, text=True,
    )
    if done.returncode:
        raise Missing(f"there is no commit {commit}")
    ours = PROGRAMS["ours"]
    PROGRAMS["before"] = Program(ours.package, ours.environment, done.stdout.strip())


def need(*programs):
    """Fails, with the remedy, if a program is missing."""
    packages = {"node": "nodejs"}
    for program in programs:
        if not shutil.which(program):
            package = packages.get(program, program)
            raise Missing(f"{program} is missing; install it: apt-get install {package}")


def build(*names):
    """Builds or installs these programs. This is quick if it was done before."""
    need("cargo", "redis-server")
    CACHE.mkdir(parents=True, exist_ok=True)
    # One at a time: built together, they would share each other's features.
    for package, commit in dict.fromkeys((PROGRAMS[it].package, PROGRAMS[it].commit) for it in names):
        if commit:
            _build_before(commit)
        elif package == "ours":
            _cargo(ROOT, "--locked", "--bin", "cloud-run-sessions")
        elif package == "express":
            _install_express()
        elif package == "crate":
            # Use the same versions of dependencies as the project.
            shutil.copy(ROOT / "Cargo.lock", PEERS / package)
            _cargo(PEERS / package, target=CARGO)
        else:
            _cargo(PEERS, "--locked", "--package", f"peer-{package}", target=CARGO)


def tool(name):
    """Builds a tool, and returns its path."""
    _cargo(PEERS, "--locked", "--package", "tools", "--bin", name, target=CARGO)
    return str(CARGO / "release" / name)


def _before(commit):
    return CACHE / "before" / commit


def _build_before(commit):
    folder = _before(commit)
    if (folder / "cloud-run-sessions").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    archive = subprocess.run(
        ["git", "archive", commit], cwd=ROOT, capture_output=True, check=True
    ).stdout
    subprocess.run(["tar", "x", "-C", folder], input=archive, check=True)
    manifest = folder / "Cargo.toml"
    if "[workspace]" not in manifest.read_text():
        # Otherwise, Cargo would look for one in the folders above.
        manifest.write_text(manifest.read_text() + "\n[workspace]\n")
    target = folder.parent / "cargo"
    _cargo(folder, "--locked", "--bin", "cloud-run-sessions", target=target)
    shutil.copy(target / "release" / "cloud-run-sessions", folder)


def _install_express():
    need("node", "npm")
    home = CACHE / "express"
    lock = (PEERS / "express" / "package-lock.json").read_bytes()
    installed = home / "installed-lock.json"
    shutil.copytree(PEERS / "express", home, dirs_exist_ok=True)
    if not installed.exists() or installed.read_bytes() != lock:
        _run("npm", "ci", "--omit=dev", "--no-audit", "--no-fund", cwd=home)
        installed.write_bytes(lock)


def _cargo(folder, *options, target=None):
    environment = {"CARGO_TARGET_DIR": str(target)} if target else {}
    _run("cargo", "build", "--release", *options, cwd=folder, environment=environment)


def _run(*command, cwd, environment=None):
    log = CACHE / "build.log"
    with open(log, "ab") as out:
        done = subprocess.run(
            command, cwd=cwd, env={**os.environ, **(environment or {})}, stdout=out, stderr=out
        )
    if done.returncode:
        raise Missing(f"`{' '.join(command)}` failed in {cwd}; {log} says why")
