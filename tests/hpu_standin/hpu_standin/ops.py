"""CPU reference kernels for the few ``torch.ops.hpu`` custom ops the speech code path touches (own implementation)."""

import math

import torch

from .recorder import recorder

_lib = torch.library.Library("hpu", "DEF")


def _def(schema, fn):
    name = schema.split("(")[0]
    _lib.define(schema)
    _lib.impl(name, fn, "CompositeExplicitAutograd")


def _per_sample(log_probs, targets, il, tl, blank, zero_inf):
    t = targets.clamp(min=0) if targets.dim() == 2 else targets
    return t, torch.ops.aten._ctc_loss.Tensor(
        log_probs.float(), t.long(), il.long(), tl.long(), blank, zero_inf
    )


def ctc_loss_custom(
    log_probs, targets, input_lengths, target_lengths, blank, reduction, zero_infinity
):
    recorder.add("ctc_loss_custom", targets_dim=targets.dim(), reduction=reduction)
    _, (nll, alpha) = _per_sample(
        log_probs, targets, input_lengths, target_lengths, blank, zero_infinity
    )
    if (
        targets.dim() == 2
    ):  # static: the width follows the padded targets, not the longest one present
        alpha = torch.nn.functional.pad(
            alpha, (0, 2 * targets.size(1) + 1 - alpha.size(-1)), value=float("-inf")
        )
    if zero_infinity:
        nll = torch.where(torch.isinf(nll), torch.zeros_like(nll), nll)
    if reduction == 1:
        loss = (nll / target_lengths.clamp(min=1).to(nll.dtype)).mean()
    elif reduction == 2:
        loss = nll.sum()
    else:
        loss = nll.clone()
    return loss, alpha


def ctc_loss_custom_backward(
    grad, log_probs, targets, il, tl, nll_, alpha_, blank, reduction, zero_infinity
):
    t, (nll, alpha) = _per_sample(log_probs, targets, il, tl, blank, zero_infinity)
    n = nll.numel()
    if reduction == 1:
        g = grad.expand(n) / (tl.clamp(min=1).to(grad.dtype) * n)
    elif reduction == 2:
        g = grad.expand(n).clone()
    else:
        g = grad
    return torch.ops.aten._ctc_loss_backward.Tensor(
        g.float().contiguous(),
        log_probs.float(),
        t.long(),
        il.long(),
        tl.long(),
        nll,
        alpha,
        blank,
        zero_infinity,
    ).to(log_probs.dtype)


_def(
    "ctc_loss_custom(Tensor log_probs, Tensor targets, Tensor input_lengths, Tensor target_lengths, int blank, "
    "int reduction, bool zero_infinity) -> (Tensor, Tensor)",
    ctc_loss_custom,
)
_def(
    "ctc_loss_custom_backward(Tensor grad, Tensor log_probs, Tensor targets, Tensor input_lengths, "
    "Tensor target_lengths, Tensor neg_log_likelihood, Tensor log_alpha, int blank, int reduction, "
    "bool zero_infinity) -> Tensor",
    ctc_loss_custom_backward,
)


def optimizer_adamw(grads, weights, m, v, neg_step, b1, b2, eps, wd, ms=None, vs=None):
    recorder.add("optimizer_adamw", n=len(weights))
    for g, w, a, s in zip(grads, weights, m, v):
        g = g.to(a.dtype)
        a.mul_(b1).add_(g, alpha=1 - b1)
        s.mul_(b2).addcmul_(g, g, value=1 - b2)
        w.mul_(wd)
        w.add_(neg_step.to(w.dtype) * (a / (s.sqrt() + eps)).to(w.dtype))


_def(
    "optimizer_adamw(Tensor[] gradient_vec, Tensor(a!)[] weight_vec, Tensor(b!)[] exp_avg_vec, "
    "Tensor(c!)[] exp_avg_sq_vec, Tensor neg_step_t, float beta1, float beta2, float epsilon, float weight_decay, "
    "Tensor(d!)[]? exp_avg_scales = None, Tensor(e!)[]? exp_avg_sq_scales = None) -> ()",
    optimizer_adamw,
)


def fused_clip_norm(grads, max_norm, norm_type):
    recorder.add("fused_clip_norm", n=len(grads))
    total = torch.linalg.vector_norm(
        torch.stack([torch.linalg.vector_norm(g.float()) for g in grads])
    )
    coef = (max_norm.float() / (total + 1e-6)).clamp(max=1.0)
    for g in grads:
        g.mul_(coef.to(g.dtype))
    return total


_def(
    "fused_clip_norm(Tensor(a!)[] grad, Tensor max_norm, float norm_type) -> Tensor",
    fused_clip_norm,
)


def _probs(q, k, mask, scale, is_causal):
    s = (q.float() @ k.float().transpose(-1, -2)) * scale
    if is_causal:
        s = s.masked_fill(
            torch.ones(s.shape[-2:], dtype=torch.bool).tril().logical_not(), float("-inf")
        )
    if mask is not None:
        s = (
            s.masked_fill(~mask, torch.finfo(s.dtype).min)
            if mask.dtype is torch.bool
            else s + mask.float()
        )
    return s.softmax(-1)


def sdpa_fwd(q, k, v, mask, p, scale, is_causal, mode, valid_seq_len, pad):
    recorder.add("fused_sdpa", recompute=False, mask=mask is not None, causal=bool(is_causal))
    P = _probs(q, k, mask, scale, is_causal)
    dm = torch.nn.functional.dropout(torch.ones_like(P), p) if p > 0 else torch.ones_like(P)
    return ((P * dm) @ v.float()).to(q.dtype), P, dm


def sdpa_bwd(grad, q, k, v, P, dm, is_causal, p, scale, fwd_out):
    g = grad.float()
    A = P * dm
    dv = A.transpose(-1, -2) @ g
    dA = (g @ v.float().transpose(-1, -2)) * dm
    dS = P * (dA - (dA * P).sum(-1, keepdim=True))
    return (
        ((dS @ k.float()) * scale).to(q.dtype),
        ((dS.transpose(-1, -2) @ q.float()) * scale).to(k.dtype),
        dv.to(v.dtype),
    )


_def(
    "sdpa_fwd(Tensor q, Tensor k, Tensor v, Tensor? attention_mask, float p, float scale, bool is_causal, "
    "str softmax_mode, Tensor? valid_seq_len, str seq_padding_type) -> (Tensor, Tensor, Tensor)",
    sdpa_fwd,
)
_def(
    "sdpa_bwd(Tensor grad, Tensor q, Tensor k, Tensor v, Tensor P, Tensor? dm, bool is_causal, float p, float scale, "
    "Tensor fwd_out) -> (Tensor, Tensor, Tensor)",
    sdpa_bwd,
)


def sdpa_recomp_fwd(
    q, k, v, mask, p, scale, is_causal, requires_backward, mode, valid_seq_len, pad
):
    recorder.add("fused_sdpa", recompute=True, mask=mask is not None, causal=bool(is_causal))
    P = _probs(q, k, mask, scale, is_causal)
    z = q.new_zeros(1)
    return (P @ v.float()).to(q.dtype), z, z.clone(), torch.zeros(1, dtype=torch.int32)


def sdpa_recomp_bwd(grad, q, k, v, mask, m, linv, seed, is_causal, p, scale, mode, fwd_out):
    P = _probs(q, k, mask, scale, is_causal)
    return sdpa_bwd(grad, q, k, v, P, torch.ones_like(P), is_causal, p, scale, fwd_out)


_def(
    "sdpa_recomp_fwd(Tensor q, Tensor k, Tensor v, Tensor? attention_mask, float p, float scale, bool is_causal, "
    "bool requires_backward, str softmax_mode, Tensor? valid_seq_len, str seq_padding_type) -> "
    "(Tensor, Tensor, Tensor, Tensor)",
    sdpa_recomp_fwd,
)
_def(
    "sdpa_recomp_bwd(Tensor grad, Tensor q, Tensor k, Tensor v, Tensor? attention_mask, Tensor m, Tensor linv, "
    "Tensor ? seed, bool is_causal, float p, float scale, str softmax_mode, Tensor fwd_out) -> "
    "(Tensor, Tensor, Tensor)",
    sdpa_recomp_bwd,
)
