import math

import torch
from torch.nn._reduction import get_enum


class CTCLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx,
        log_probs,
        targets,
        input_lengths,
        target_lengths,
        blank=0,
        reduction="mean",
        zero_infinity=False,
    ):
        loss, alpha = torch.ops.hpu.ctc_loss_custom(
            log_probs,
            targets,
            input_lengths,
            target_lengths,
            blank,
            get_enum(reduction),
            zero_infinity,
        )
        ctx.save_for_backward(log_probs, targets, input_lengths, target_lengths, loss, alpha)
        ctx.rest = (blank, get_enum(reduction), zero_infinity)
        return loss

    @staticmethod
    def backward(ctx, g):
        return (torch.ops.hpu.ctc_loss_custom_backward(g, *ctx.saved_tensors, *ctx.rest),) + (
            None,
        ) * 6


class FusedSDPA(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx,
        q,
        k,
        v,
        attn_mask=None,
        dropout_p=0.0,
        is_causal=False,
        scale=None,
        softmax_mode="None",
        recompute_mode=None,
        valid_seq_len=None,
        seq_padding_type="left",
        return_dropout_mask=False,
        return_attn_probs=False,
    ):
        scale = 1.0 / math.sqrt(q.size(-1)) if scale is None else scale
        out, P, dm = torch.ops.hpu.sdpa_fwd(
            q,
            k,
            v,
            attn_mask,
            dropout_p,
            scale,
            is_causal,
            softmax_mode.lower(),
            valid_seq_len,
            seq_padding_type,
        )
        ctx.save_for_backward(q, k, v, P, dm, out)
        ctx.rest = (is_causal, dropout_p, scale)
        return out

    @staticmethod
    def backward(ctx, g, *_):
        q, k, v, P, dm, out = ctx.saved_tensors
        return tuple(torch.ops.hpu.sdpa_bwd(g, q, k, v, P, dm, *ctx.rest, out)) + (None,) * 10
