# SPDX-License-Identifier: Apache-2.0
"""How hard SwinMTL's critic pulls at the student, beside the losses on labels.

    python benchmarks/training/critic_gradient.py --store runs/stages

Prints the norm of each term's gradient at what the student answers, for 64 pictures of the small recipe at its end; the
critic's at weight 1. The stage is that of benchmarks/accuracy/swinmtl.yaml, which is trained if it is not in the store.
"""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from cast_train.data import Batch
from cast_train.engine.checkpoint import LAST, load_checkpoint
from cast_train.engine.fitting import start_student, supervised_stream
from cast_train.engine.recipe_file import load
from cast_train.losses.supervised import supervised_losses
from cast_train.methods.method import Pictures
from cast_train.methods.stages import Stages
from cast_train.methods.swinmtl.recipe import SwinMtlRecipe
from cast_train.methods.swinmtl.stages import SwinMtl
from cast_train.methods.swinmtl.task import AdversarialTask, critic_maps, student_loss

RECIPE = Path('config/recipes/streets-swinmtl.yaml')
BATCHES = 4


def main() -> None:
    """Measure, and print a line for each answer of the student."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--store', type=Path, default=Path('runs/stages'), help='where the stages of the table are')
    store = parser.parse_args().store
    recipe = load(SwinMtlRecipe, RECIPE)
    assert recipe.critic is not None
    swinmtl = SwinMtl(recipe, Stages(store, print), Pictures(recipe.data))
    state = load_checkpoint(swinmtl.student().folder / LAST)
    network = start_student(recipe.student, swinmtl.contract, recipe.seed)
    network.load_state_dict(state['network'])
    task = AdversarialTask(network, recipe.taught, recipe.critic, recipe.depth.cap_m)
    task.load_state_dict({**task.state_dict(), **state['task']})
    stream = supervised_stream(recipe.of_student, swinmtl.pictures.train, swinmtl.contract, 0)
    found = torch.stack([norms_of(task.train(), batch) for batch in islice(stream, BATCHES)]).mean(0)
    for answer, (labels, critic) in zip(('depth', 'classes'), found.tolist(), strict=True):
        print(f'{answer}: labels {labels:.4f}, critic at weight 1 {critic:.4f}, ratio {critic / labels:.1f}')


def norms_of(task: AdversarialTask, batch: Batch) -> Tensor:
    """2×2: norms of the gradient at depth and classes (rows), of labels and critic (columns)."""
    output = task.network(batch.images)
    assert output.dense_logits is not None
    answers = (output.log_depth, output.dense_logits)
    terms = supervised_losses(output, batch.targets, task._losses, task.network.thing_ids)
    pairs = critic_maps(output, batch.targets, task._cap_m)
    losses = torch.stack(list(terms.values())).sum(), student_loss(task.critic, pairs.fake) / len(pairs.fake)
    gradients = [torch.autograd.grad(loss, answers, retain_graph=True) for loss in losses]
    return torch.stack([torch.stack([one.norm() for one in of_answer]) for of_answer in zip(*gradients, strict=True)])


if __name__ == '__main__':
    main()
