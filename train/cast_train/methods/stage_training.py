# SPDX-License-Identifier: Apache-2.0
"""Training a student through one stage of a method: its views, its stream of batches, its early stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cast_ros.student import StudentContract
from cast_train.data import Batch, Source, StrongViews, ViewRules, batches
from cast_train.engine.judging import EarlyStop
from cast_train.engine.loop import train
from cast_train.engine.recipe import Recipe
from cast_train.engine.task import Task
from cast_train.methods.method_recipe import StageSection
from cast_train.models import Student

# Looks at the held-out pictures of which the mean counts; there are few of them.
JUDGED_TOGETHER = 3


def train_stage(
    task: Task,
    stage: StageSection,
    recipe: Recipe,
    contract: StudentContract,
    sources: Sequence[Source],
    folder: Path,
    strong: StrongViews | None,
    judge: Callable[[Student], dict[str, float]] | None,
    note: str,
    mix: Callable[[Batch], Batch] | None = None,
) -> None:
    """Train in a folder, going on with what is there.

    Args:
        task: with its first weights.
        stage: how long, at which size; with ``patience`` it stops early by what ``judge`` says.
        recipe: the plain recipe of the stage, which its checkpoints carry.
        contract: classes and things.
        sources: pictures with true labels first.
        folder: of the run.
        strong: also make strong views of this kind.
        judge: of the averaged student, for early stopping alone.
        note: a sentence for the log.
        mix: changes each whole batch.
    """
    rules = ViewRules(
        stage.height,
        stage.width,
        recipe.depth.focal_reference_px,
        recipe.depth.cap_m,
        contract.thing_ids,
        recipe.augmentation,
    )

    def stream(first: int) -> Iterator[Batch]:
        plain = batches(sources, rules, recipe.seed, first, stage.steps, recipe.run.workers, strong)
        return plain if mix is None else map(mix, plain)

    stop = None if stage.patience is None else EarlyStop('ap', stage.patience, JUDGED_TOGETHER)
    train(
        task,
        recipe.plan,
        stream,
        folder,
        judge if stop else None,
        resume=True,
        identity=recipe.model_dump(mode='json'),
        early_stop=stop,
        note=note,
    )
