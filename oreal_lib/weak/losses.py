"""The training loss of weak labels: three terms for the set of classes named in a superpixel (MulActSeg, Hwang et al. 2023)."""

import torch
import torch.nn.functional as F

EPS = 1e-8


def weak_loss(logits: torch.Tensor, ids: torch.Tensor, present: torch.Tensor, weights: tuple[float, float, float]) -> torch.Tensor:
    """Cross-entropy + merged positive + prototypical pixel loss of a batch, each times its weight, a scalar (MulActSeg, its stage 1).

    The cross-entropy is that of superpixels with one class. Merged positive: -log of the probability that a pixel has one of its
    superpixel's two or more classes; it says what a pixel is not, and leaves open which of the classes it is. Prototypical pixel:
    -log of the largest probability in a superpixel of each of its two or more classes. Each is a sum over the whole batch, divided
    by 1 + the number of its terms; a batch without an answer has loss 0 and gradient 0. Computed in float32 at least.

    logits: (B, C', H, W), C' the classes or one more for "undefined".  ids: (B, H, W) integers, below 0 where there is no
    superpixel (padding).  present: (B, S, C') bool, the classes named in superpixel s of image b; none where it was never
    asked, was void, or does not exist (images with fewer than S superpixels).  weights: MulActSeg's `coeff` 16, `coeff_mc` 8 and
    `coeff_gm` 1.
    """
    p, row, table = _labeled_pixels(logits, ids, present)
    named = table.sum(dim=1)[row]
    one, many = named == 1, named > 1
    surprise = -((p * table[row]).sum(dim=1) + EPS).log()  # of one class: its cross-entropy
    terms = (
        surprise[one].sum() / (1 + one.sum()),
        surprise[many].sum() / (1 + many.sum()),
        _prototypical(p[many], row[many], table),
    )
    return sum(weight * term for weight, term in zip(weights, terms, strict=True))


def _labeled_pixels(
    logits: torch.Tensor, ids: torch.Tensor, present: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Probabilities (P, C') of the P pixels with an answer, the row of each (P,) in the table of answers (B (S + 1), C')."""
    n, superpixels, _ = present.shape
    table = F.pad(present, (0, 0, 0, 1)).flatten(0, 1)  # the last row of each image: of no superpixel, never answered
    row = torch.where(ids < 0, superpixels, ids).long()
    row = row + (superpixels + 1) * torch.arange(n, device=ids.device)[:, None, None]
    labeled = table.any(dim=1)[row]
    scores = logits.movedim(1, -1)[labeled]  # few pixels of a batch are bought: everything after this is small
    scores = scores if scores.dtype == torch.float64 else scores.float()
    return scores.softmax(dim=1), row[labeled], table


def _prototypical(p: torch.Tensor, row: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """The prototypical pixel loss of P pixels (P, C') that lie in rows (P,) of the table of answers (R, C').

    Its gradient reaches the one pixel that is most sure of the class (the first of equals). A crop may have cut off the part
    that has it: the loss asks for it all the same, as MulActSeg's does.
    """
    index = row[:, None].expand_as(p)
    best = p.new_full(table.shape, -torch.inf).scatter_reduce(0, index, p.detach(), "amax")
    # The maximum is looked up by its place, since the gradient of "amax" would be shared among equals.
    place = torch.arange(len(p), dtype=torch.int32, device=p.device)[:, None]
    place = torch.where(p.detach() == best[row], place, len(p)).int()
    first = torch.full_like(best, len(p), dtype=torch.int32).scatter_reduce(0, index, place, "amin")
    row, column = (table & (first < len(p))).nonzero(as_tuple=True)
    return -(p[first[row, column].long(), column] + EPS).log().sum() / (1 + len(row))
