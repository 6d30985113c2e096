#!/usr/bin/env bash
# After DistributedDataParallel, destroy_process_group() leaves the process group and its threads alive.
#
# Seen with torch 2.13.0 on a CPU (gloo), one process, the model deleted and collected:
#   all_reduce only                                        no thread of gloo left
#   DistributedDataParallel, constructed and deleted       gloo_tcp_loop, pt_gloo_runloop, pt_gloo_runloop left
#   the same, torch.distributed.nn imported at the start   no thread of gloo left
# DistributedDataParallel imports torch.distributed.nn.functional, whose functions have `group=group.WORLD` as a
# default: the default is evaluated at import, when it is the group itself, not None, so ten functions hold it until
# the interpreter ends. With another program, about one training process in ten on a busy machine ended with SIGABRT
# ("terminate called without an active exception") after its work; with the early import the group ends in time.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.13.0 numpy==2.2.6
cat > "$folder/threads.py" <<'PYTHON'
import gc
import sys
from pathlib import Path

import torch
import torch.distributed as dist

case, port = sys.argv[1:]
if case == "early import":
    import torch.distributed.nn
dist.init_process_group("gloo", init_method=f"tcp://localhost:{port}", rank=0, world_size=1)
dist.all_reduce(torch.ones(3))
if case != "all_reduce":
    wrapped = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(3, 3))
    del wrapped
gc.collect()
dist.destroy_process_group()
gc.collect()
names = [one.read_text().strip() for one in Path("/proc/self/task").glob("*/comm")]
left = sorted(name for name in names if "gloo" in name)
defaults = torch.distributed.nn.functional.all_reduce.__defaults__ if case != "all_reduce" else ()
held = any(isinstance(one, dist.ProcessGroup) for one in defaults)
print(f"{case}: threads left {left}, a default is the group: {held}")
expected = ["gloo_tcp_loop", "pt_gloo_runloop", "pt_gloo_runloop"] if case == "DDP" else []
assert left == expected and held == (case == "DDP")
PYTHON
"$folder/venv/bin/python" -c 'import torch; print("torch", torch.__version__)'
port() { "$folder/venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("localhost", 0)); print(s.getsockname()[1])'; }
for case in all_reduce DDP "early import"; do
    "$folder/venv/bin/python" -W ignore "$folder/threads.py" "$case" "$(port)"
done
