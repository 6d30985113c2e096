"""Run a command as on a processor with AVX2 and nothing newer (x86-64 Linux, glibc, gcc, objdump).

    python benchmarks/limit_cpu.py -- python benchmarks/cpu_peers.py --shapes base --threads 1

Libraries choose their kernels by the instruction `cpuid`; only some obey a variable. So each
`cpuid` of each shared library is replaced in memory by an invalid instruction when the library is
mapped, and a signal handler answers in its place, without AVX-512, AVX-VNNI, bf16, fp16, AMX, GFNI
and VAES. No file is changed. `limit_cpu.c` does so for all processes of the command (LD_AUDIT).
The variables of ATen, oneDNN and glibc are set too: gaudi-asr reads that of oneDNN, and glibc has
asked the processor before LD_AUDIT begins.

Not limited are `cpuid` in an executable itself or in generated code, /proc/cpuinfo, and what
depends on the name of the processor: it is as fast in AVX2 as it is. A process whose main thread
used AVX-512 or AMX in spite of this says so when it ends. Libraries are disassembled once, torch's
in a minute; the addresses are kept in the cache folder.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

SOURCE = Path(__file__).with_name("limit_cpu.c")
TOOLS = ("gcc", "objdump", "sed")
CACHE = Path.home() / ".cache" / "limit-cpu"
VARIABLES = {
    "LIMIT_CPU": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX512DQ,-AVX512CD",
}
PROBE = "import numpy; print(*numpy.show_config('dicts')['SIMD Extensions']['found'])"


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of what is built")
    parser.add_argument("command", nargs="+", help="the command and its arguments, after --")
    return parser.parse_args()


def check_machine() -> None:
    """Exit with a message where this cannot work."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        sys.exit("limit_cpu.py: it needs Linux on x86-64.")
    missing = [name for name in TOOLS if shutil.which(name) is None]
    if missing:
        sys.exit(f"limit_cpu.py: install {', '.join(missing)} (Debian: gcc, binutils, sed).")


def build_library(folder: Path) -> Path:
    """Compile the C file into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / "limit_cpu.so"
    # A process may have the previous one mapped, so it is not overwritten.
    unfinished = folder / f"limit_cpu.{os.getpid()}.so"
    command = ["gcc", "-O2", "-shared", "-fPIC", "-o", str(unfinished), str(SOURCE)]
    if subprocess.run(command, check=False).returncode != 0:
        sys.exit(f"limit_cpu.py: gcc did not compile {SOURCE.name}.")
    return unfinished.replace(library)


def check_limit(environment: Mapping[str, str]) -> str:
    """Return the extensions that numpy finds under the limit; exit if AVX-512 is among them."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE], env=environment, text=True, capture_output=True, check=False
    )
    found = done.stdout.split()
    if not found or any(name.startswith(("AVX512", "X86_V4")) for name in found):
        sys.exit(f"limit_cpu.py: the limit does not work: numpy found {found}. {done.stderr}")
    return " ".join(found)


def main() -> None:
    arguments = read_arguments()
    check_machine()
    folder = arguments.cache.resolve()
    library = build_library(folder)
    environment = {
        **os.environ,
        **VARIABLES,
        "LIMIT_CPU_CACHE": str(folder),
        "LD_AUDIT": str(library),
    }
    print(
        f"limit_cpu.py: limited to AVX2; numpy finds {check_limit(environment)}",
        file=sys.stderr,
        flush=True,
    )
    os.execvpe(arguments.command[0], arguments.command, environment)


if __name__ == "__main__":
    main()
