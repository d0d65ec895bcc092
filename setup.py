"""Compiles the native engine: one library for each level of processor, chosen when it is loaded.

The compiler is Zig's C compiler from PyPI (a build requirement in pyproject.toml), so that a
machine needs none of its own and every build is the same.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

NATIVE = "edge/engines/native"
GLIBC = "2.17"  # the oldest that manylinux2014 wheels may ask for
LEVELS = {
    "x86_64": {"v4-vnni": "x86_64_v4+avx512vnni", "v4": "x86_64_v4", "v3": "x86_64_v3"},
    "aarch64": {"": "generic"},
}
"""The compiler's name for the processor of each build, by machine and level;
``edge.engines.native.library`` says which one a processor gets."""

FLAGS = (
    *("-std=gnu11", "-O3", "-fPIC", "-shared", "-s", "-Wall", "-Wextra", "-Werror"),
    # Sums may be reordered, so that they can be vectorized; what is not a number stays one.
    *("-fassociative-math", "-fno-signed-zeros", "-fno-trapping-math", "-fno-math-errno"),
    "-ffp-contract=fast",
)


class BuildNative(build_ext):
    """Plain shared libraries, loaded by ctypes: no Python is linked in."""

    def build_extension(self, ext: Extension) -> None:
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        machine, _, level = target.stem.removeprefix("execute-").partition("-")
        processor = LEVELS[machine][level]
        subprocess.run(
            [
                *(sys.executable, "-m", "ziglang", "cc"),
                *("-target", f"{machine}-linux-gnu.{GLIBC}", f"-mcpu={processor}", *FLAGS),
                *("-o", str(target), *ext.sources, "-lm"),
            ],
            check=True,
        )

    def get_ext_filename(self, fullname: str) -> str:
        return f"{fullname.replace('.', '/')}.so"


class AnyPython(bdist_wheel):
    """A wheel of this machine for every Python 3: nothing compiled in it knows Python."""

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]


def extensions() -> list[Extension]:
    """One for each level of this machine's processors; none where the engine is not built."""
    if sys.platform != "linux":
        return []
    machine = platform.machine()
    names = [f"execute-{machine}{'-' if level else ''}{level}" for level in LEVELS.get(machine, ())]
    headers = sorted(str(path) for path in Path(NATIVE).glob("*.h"))
    return [
        Extension(f"{NATIVE.replace('/', '.')}.{name}", [f"{NATIVE}/execute.c"], depends=headers)
        for name in names
    ]


setup(ext_modules=extensions(), cmdclass={"bdist_wheel": AnyPython, "build_ext": BuildNative})
