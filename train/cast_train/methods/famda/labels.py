# SPDX-License-Identifier: Apache-2.0
"""What the target's pictures are taken to show: the average's answer, corrected by masks and depth without classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cast_ros.student import UNLABELLED
from cast_train.data.augment import Targets
from cast_train.methods.famda.classmix import SMALLEST_PX
from cast_train.methods.famda.losses import confident_share
from cast_train.methods.famda.recipe import AdaptationSection
from cast_train.models import StudentNetwork, StudentOutput, compose_semantic
from cast_train.models.graph import best_instances

# Metres beyond the cap, as a teacher's sky, are not learned; a network cannot say much nearer than this.
NEAREST_M = 0.1


class TargetLabels:
    """Makes pseudo-labels of answers.

    Args:
        student: whose classes they are of.
        settings: of the adaptation.
        protected: class ids that the vote leaves alone.
        cap_m: depth beyond it is not learned.
        sky_id: the class that endless depth stands for; None leaves the class map as it is.
        alignment: of the classes' shares, if any.
    """

    def __init__(
        self,
        student: StudentNetwork,
        settings: AdaptationSection,
        protected: tuple[int, ...],
        cap_m: float,
        sky_id: int | None,
        alignment: ClassAlignment | None,
    ) -> None:
        self._classes, self._thing_ids = student.classes, student.thing_ids
        self._things = torch.tensor(student.thing_ids, dtype=torch.int64)
        self._settings, self._protected = settings, protected
        self._cap_m, self._sky_id, self._alignment = cap_m, sky_id, alignment

    @torch.no_grad()
    def of(self, answer: StudentOutput, given: Sequence[Targets]) -> tuple[list[Targets], float]:
        """What the target's pictures are taken to show, and the share of their pixels that the teacher is sure of.

        Args:
            answer: of the teacher, for B pictures.
            given: their class-agnostic masks and depth, as far as teachers gave any.
        """
        final = answer.levels[-1]
        height, width = 4 * final.mask_logits.shape[-2], 4 * final.mask_logits.shape[-1]
        shares = class_shares(answer)
        likely = compose_semantic(final) if self._alignment is None else self._alignment(shares)
        if self._settings.things_from_instances:
            likely = likely.index_fill(1, self._things.to(likely.device), 0.0)
        full = F.interpolate(likely, size=(height, width), mode='bilinear', align_corners=False).argmax(1)
        depth_m = F.interpolate(answer.log_depth[:, None].float().exp(), size=(height, width), mode='bilinear')[:, 0]
        found = []
        for row, target in enumerate(given):
            semantic = full[row]
            masks, labels = self._instances(final.class_logits[row], final.mask_logits[row], (height, width))
            refinement = self._settings.refinement
            if refinement is not None and target.segments is not None:
                semantic = majority_vote(
                    semantic, target.segments, self._classes, refinement.least_share, self._protected
                )
                masks = best_segments(masks, target.segments, refinement.instance_iou)
            if self._sky_id is not None and target.endless is not None:
                semantic = with_sky(semantic, target.endless, self._sky_id)
            found.append(self._put_together(semantic, masks, labels, target, self._own_depth(depth_m[row], target)))
        return found, float(confident_share(shares, self._settings.confidence))

    def _instances(self, class_logits: Tensor, mask_logits: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """N×H×W masks and labels of the sure instances of a picture, the better one owning contested pixels."""
        things = self._things.to(class_logits.device)
        _, labels, queries = best_instances(class_logits.float(), mask_logits.float(), things)
        chances = class_logits.float().softmax(-1)[queries, labels]
        soft = mask_logits[queries].float().sigmoid()
        inside = soft > 0.5
        quality = (soft * inside).sum((1, 2)) / inside.sum((1, 2)).clamp(min=1)
        sure = (chances >= self._settings.instance_score) & (quality >= self._settings.instance_quality)
        full = F.interpolate(soft[sure][:, None], size=size, mode='bilinear', align_corners=False)[:, 0] > 0.5
        taken = torch.zeros(size, dtype=torch.bool, device=full.device)
        masks, kept = [], []
        for row, mask in enumerate(full):
            own = mask & ~taken
            if int(own.sum()) >= max(SMALLEST_PX, int(mask.sum()) // 2):
                masks.append(own)
                kept.append(row)
                taken |= mask
        return torch.stack(masks) if masks else full[:0], labels[sure][kept]

    def _own_depth(self, depth_m: Tensor, given: Targets) -> Tensor | None:
        """The average's own depth where no teacher gave any."""
        if given.depth_m is not None or given.disparity is not None:
            return given.depth_m
        return torch.where((depth_m > NEAREST_M) & (depth_m <= self._cap_m), depth_m, torch.nan)

    def _put_together(
        self, semantic: Tensor, masks: Tensor, labels: Tensor, given: Targets, depth_m: Tensor | None
    ) -> Targets:
        """Instances overwrite the class map; every stuff class of the map is a mask as well."""
        for mask, label in zip(masks, labels, strict=True):
            semantic = torch.where(mask, label, semantic)
        stuff = [label for label in semantic.unique().tolist() if label != UNLABELLED and label not in self._thing_ids]
        every = [masks, *((semantic == label)[None] for label in stuff)]
        return replace(
            given,
            masks=torch.cat(every),
            labels=torch.cat([labels, torch.tensor(stuff, dtype=torch.int64, device=labels.device)]),
            semantic=semantic,
            depth_m=depth_m,
            segments=None,
            endless=None,
        )


def class_shares(answer: StudentOutput) -> Tensor:
    """B×C×h×w, what part of each cell's mask probability is of which class."""
    composed = compose_semantic(answer.levels[-1])
    return composed / composed.sum(1, keepdim=True).clamp(min=1e-6)


def with_sky(semantic: Tensor, endless: Tensor, sky_id: int) -> Tensor:
    """H×W class ids where exactly what is ``endless`` is sky; what was taken for sky but ends is unlabelled.

    A network that knows days takes the dark sky for a wall and is sure of it; a depth teacher sees nothing there.
    """
    ends = torch.where(semantic == sky_id, UNLABELLED, semantic)
    return torch.where(endless, sky_id, ends)


# Of both averages of shares: about the last fifty batches count.
MOMENTUM = 0.02
# Rarer classes are left alone: the average of a few pixels says little, and errors would be large factors.
LEAST_SHARE = 0.01


class ClassAlignment(nn.Module):
    """Distribution alignment (ReMixMatch, Berthelot et al., arXiv 1911.09785): classes as frequent as in the source.

    A teacher that learns from its own guesses can lose a class to another for good: at night, walls to vegetation.
    Where both domains show the same kind of street, the classes' shares of the pixels are known, and hold it.

    Args:
        classes: how many.
        power: 1 aligns fully, less only partly.
    """

    source: Tensor
    target: Tensor
    seen: Tensor

    def __init__(self, classes: int, power: float) -> None:
        super().__init__()
        self._power = power
        self.register_buffer('source', torch.zeros(classes))
        self.register_buffer('target', torch.zeros(classes))
        self.register_buffer('seen', torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def look(self, shares: Tensor, labels: Sequence[Targets]) -> None:
        """Take a step's pictures into the averages.

        Args:
            shares: what the teacher says of the target's, B×C×h×w with sum 1 over C.
            labels: of the source's.
        """
        momentum = max(MOMENTUM, 1 / (int(self.seen) + 1))
        self.seen += 1
        self.source.lerp_(_frequencies(labels, len(self.source)).to(self.source.device), momentum)
        self.target.lerp_(shares.mean((0, 2, 3)), momentum)

    def forward(self, shares: Tensor) -> Tensor:
        """B×C×h×w shares, each class times its factor; their sums are no longer 1."""
        common = (self.source >= LEAST_SHARE) & (self.target >= LEAST_SHARE)
        factors = torch.where(common, self.source / self.target.clamp(min=LEAST_SHARE), 1.0) ** self._power
        return shares * factors[:, None, None]


def _frequencies(labels: Sequence[Targets], classes: int) -> Tensor:
    counts = torch.zeros(classes)
    for target in labels:
        if target.semantic is not None:
            known = target.semantic[target.semantic < classes]
            counts += torch.bincount(known.flatten(), minlength=classes)[:classes].cpu()
    return counts / counts.sum().clamp(min=1)


def majority_vote(
    labels: Tensor, segments: Tensor, classes: int, least_share: float, protected: Sequence[int] = ()
) -> Tensor:
    """Paint every mask with its majority class; where masks overlap the later one, which is the smaller, has it.

    FAMDA's abstract says as much (papers.md §3.1). Skipping weak votes and protecting thin classes are ours: a pole is
    often no mask of its own, and the mask of the wall behind it would vote it away.

    Args:
        labels: H×W int64 class ids, 255 unlabelled, which has no vote.
        segments: M×H×W bool, large before small.
        classes: number of classes.
        least_share: a winner with a smaller share of the votes paints nothing.
        protected: class ids whose pixels stay as they are.

    Returns:
        H×W int64; pixels in no mask keep their class.
    """
    if not len(segments):
        return labels
    known = labels != UNLABELLED
    votes = F.one_hot(torch.where(known, labels, classes).flatten(), classes + 1)[:, :classes].float()
    counts = segments.flatten(1).float() @ votes
    most, winner = counts.max(1)
    strong = most > least_share * counts.sum(1).clamp(min=1)
    strong &= most > 0
    places = torch.arange(1, len(segments) + 1, device=labels.device)
    # Masks come large before small, so the highest place is the smallest mask that covers a pixel.
    last = (segments & strong[:, None, None]).to(places.dtype).mul_(places[:, None, None]).amax(0)
    painted = torch.where(last > 0, winner[(last - 1).clamp(min=0)], labels)
    if not protected:
        return painted
    keep = torch.isin(labels, torch.tensor(list(protected), device=labels.device))
    return torch.where(keep, labels, painted)


def best_segments(masks: Tensor, segments: Tensor, least_iou: float) -> Tensor:
    """Replace each of N×H×W bool masks by the segment that overlaps it best, if their IoU is at least ``least_iou``."""
    if not len(masks) or not len(segments):
        return masks
    own, others = masks.flatten(1).float(), segments.flatten(1).float()
    shared = own @ others.T
    iou, best = (shared / (own.sum(1)[:, None] + others.sum(1) - shared).clamp(min=1)).max(1)
    return torch.where((iou >= least_iou)[:, None, None], segments[best], masks)
