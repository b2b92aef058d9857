# SPDX-License-Identifier: Apache-2.0
"""Which part of a student an operator of its optimised graph belongs to, from names, shapes and what depends on it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from onnx import GraphProto, NodeProto

# In the order of the graph.
PARTS = ('input', 'backbone', 'neck', 'decoder', 'masks', 'depth', 'semantic', 'instances')
MODULES = {
    '/student/backbone/': 'backbone',
    '/student/pyramid/': 'neck',
    '/student/depth/': 'depth',
    '/student/decoder/mask_features/': 'masks',
    '/student/decoder/fine_place/': 'masks',
    '/student/decoder/': 'decoder',
}
INSTANCE_OUTPUTS = frozenset({'scores', 'labels', 'masks'})


def parts_of(graph: GraphProto, fine: Collection[str]) -> dict[str, str]:
    """Name of each node to its part.

    Named modules decide first. Of the query decoder, whatever is at full mask resolution counts as masks. Operators
    outside of modules go by the outputs that depend on them, and those that onnxruntime added (reorderings, reshapes,
    merged norms) by what feeds them.

    Args:
        graph: as onnxruntime saved it; nodes in topological order.
        fine: names of the nodes whose output is at full mask resolution.
    """
    producers = {output: node for node in graph.node for output in node.output}
    reached = _reached_outputs(graph)
    parts: dict[str, str] = {}
    for node in graph.node:
        module = next((part for prefix, part in MODULES.items() if node.name.startswith(prefix)), None)
        if module == 'decoder' and node.name in fine:
            module = 'masks'
        if module is None and not node.name.startswith('/'):
            feeders = [producers[name].name for name in node.input if name in producers]
            module = parts[feeders[0]] if feeders else None
        parts[node.name] = module or _part_by_outputs(reached[node.name])
    return parts


def _part_by_outputs(outputs: frozenset[str]) -> str:
    if outputs == {'semantic'} or outputs == {'depth'}:
        return next(iter(outputs))
    if outputs <= INSTANCE_OUTPUTS:
        return 'instances'
    # The probabilities of classes and masks serve instances and the semantic map; before the backbone all depends.
    return 'input' if 'depth' in outputs else 'masks'


def _reached_outputs(graph: GraphProto) -> dict[str, frozenset[str]]:
    """Name of each node to the outputs of the graph that depend on it."""
    of_value: dict[str, frozenset[str]] = {value.name: frozenset({value.name}) for value in graph.output}
    reached: dict[str, frozenset[str]] = {}
    nodes: Sequence[NodeProto] = graph.node
    for node in reversed(nodes):
        reached[node.name] = frozenset().union(*(of_value.get(name, frozenset()) for name in node.output))
        for name in node.input:
            of_value[name] = of_value.get(name, frozenset()) | reached[node.name]
    return reached
