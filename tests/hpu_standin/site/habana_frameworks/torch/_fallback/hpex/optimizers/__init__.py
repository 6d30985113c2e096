import math

import torch
from torch.optim import Optimizer


class FusedAdamW(Optimizer):
    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-6,
        weight_decay=0.0,
        bias_correction=True,
        moments_dtype=None,
    ):
        super().__init__(
            params,
            dict(
                lr=lr,
                betas=betas,
                eps=eps,
                weight_decay=weight_decay,
                bias_correction=bias_correction,
            ),
        )

    @torch.no_grad()
    def step(self, closure=None):
        for g in self.param_groups:
            ps = [p for p in g["params"] if p.grad is not None]
            if not ps:
                continue
            for p in ps:
                st = self.state[p]
                if not st:
                    st["exp_avg"], st["exp_avg_sq"] = torch.zeros_like(p), torch.zeros_like(p)
            g["step"] = g.get("step", 0) + 1
            b1, b2 = g["betas"]
            size = g["lr"]
            if g["bias_correction"]:
                size *= math.sqrt(1 - b2 ** g["step"]) / (1 - b1 ** g["step"])
            torch.ops.hpu.optimizer_adamw(
                [p.grad for p in ps],
                [p.data for p in ps],
                [self.state[p]["exp_avg"] for p in ps],
                [self.state[p]["exp_avg_sq"] for p in ps],
                torch.tensor([-size]).to("hpu"),
                b1,
                b2,
                g["eps"],
                1.0 - g["weight_decay"] * g["lr"],
            )
