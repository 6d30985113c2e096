"""'hccl' collectives backed by gloo, plus the launcher-environment part of the real module (own implementation)."""

import os

import torch


def initialize_distributed_hpu(world_size=None, rank=None, local_rank=None):
    if None not in (world_size, rank, local_rank):
        os.environ.update(WORLD_SIZE=str(world_size), RANK=str(rank), LOCAL_RANK=str(local_rank))
    elif "WORLD_SIZE" not in os.environ and "OMPI_COMM_WORLD_SIZE" in os.environ:
        for src, dst in (
            ("OMPI_COMM_WORLD_LOCAL_RANK", "LOCAL_RANK"),
            ("OMPI_COMM_WORLD_SIZE", "WORLD_SIZE"),
            ("OMPI_COMM_WORLD_RANK", "RANK"),
        ):
            os.environ[dst] = os.environ[src]
        os.environ.setdefault("MASTER_ADDR", "localhost")
        os.environ.setdefault("MASTER_PORT", "12345")
    ws, rk, lr = (
        int(os.getenv("WORLD_SIZE", 1)),
        int(os.getenv("RANK", -1)),
        int(os.getenv("LOCAL_RANK", -1)),
    )
    if "HLS_MODULE_ID" not in os.environ and lr != -1 and ws > 1:
        mods = os.environ.get("HABANA_VISIBLE_MODULES")
        os.environ["HLS_MODULE_ID"] = mods.split(",")[lr] if mods else str(lr)
    if rk != -1:
        os.environ["ID"] = str(rk)
    return ws, rk, lr


initialize_distributed_hpu()


def _make(store, rank, size, timeout):
    from hpu_standin import recorder

    recorder.add("hccl_init", rank=rank, size=size)
    return torch.distributed.ProcessGroupGloo(store, rank, size, timeout)


if torch.distributed.is_available() and not hasattr(torch.distributed.Backend, "HCCL"):
    torch.distributed.Backend.register_backend("hccl", _make, devices=["hpu", "cpu"])
