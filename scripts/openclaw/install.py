"""OpenClaw and the Node that runs it, from npm, each version in a folder of its own.

An installation is kept and used again: it is made beside its place and then renamed, so one that was
interrupted is never taken for one that is done. Packages' own install scripts do not run; Node's does,
as it is what brings the program.
"""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

# Runs every version of OpenClaw here: 2026.9 wants 24.16 or later, 2026.2 wants 22.12 or later.
NODE = "24.21.0"

# OpenClaw is large: 600 MB and 330 packages, and older ones twice that.
INSTALL_S_MAX = 900

# Versions until 2026.7 need two packages that npm does not have: one comes from a Git repository, one
# needs a package that is gone. Neither is for anything that happens here.
OVERRIDES = {"libsignal": "npm:libsignal@6.0.0", "linkedom": "0.18.12"}


class InstallError(Exception):
    """What npm could not do; its own words."""


@dataclass
class Installed:
    version: str
    node: Path
    program: Path

    def command(self, *words) -> list[str]:
        return [str(self.node), str(self.program), *map(str, words)]

    @property
    def is_file_era(self) -> bool:
        """Whether sessions are in files; since 2026.8 they are in SQLite."""
        return version_of(self.version) < (2026, 8)


def version_of(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("-")[0].split("."))


def install(version: str, cache: Path) -> Installed:
    """Installs what is not there yet."""
    npm_exists()
    node = package(cache / f"node-{NODE}", "node", NODE, {}, runs_scripts=True)
    node = node / "node_modules/node/bin/node"
    overrides = OVERRIDES if version_of(version) < (2026, 8) else {}
    folder = package(cache / f"openclaw-{version}", "openclaw", version, overrides, runs_scripts=False)
    installed = Installed(version, node, folder / "node_modules/openclaw/openclaw.mjs")
    said = run(installed.command("--version"), os.environ | {"NO_COLOR": "1"}, 120)
    if version not in said:
        raise InstallError(f"OpenClaw {version} says of itself: {said.strip()}")
    return installed


def newest() -> str:
    npm_exists()
    return run(["npm", "view", "openclaw", "version"], os.environ, 60).strip()


def npm_exists() -> None:
    if shutil.which("npm") is None:
        raise InstallError("npm is not installed")


def package(place: Path, name: str, version: str, overrides: dict, runs_scripts: bool) -> Path:
    if place.is_dir():
        return place
    made = place.with_name(f"{place.name}.{os.getpid()}")
    made.mkdir(parents=True)
    (made / "package.json").write_text(json.dumps({"private": True, "overrides": overrides}))
    command = ["npm", "install", "--prefix", str(made), "--no-audit", "--no-fund", "--loglevel", "error"]
    command += [] if runs_scripts else ["--ignore-scripts"]
    try:
        run([*command, f"{name}@{version}"], os.environ, INSTALL_S_MAX)
        made.rename(place)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return place


def run(command: list, env, wait_s: float) -> str:
    try:
        done = subprocess.run(
            command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=wait_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise InstallError(f"{' '.join(command[:3])} did not end within {wait_s} s") from error
    if done.returncode != 0:
        raise InstallError(f"{' '.join(command)} failed:\n{(done.stderr or done.stdout).strip()[-1500:]}")
    return done.stdout
