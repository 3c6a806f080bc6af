"""What must happen: stages, typed edges, estimates. Pure: no files, no scheduler."""

from planit.graph.estimate import durations
from planit.graph.lowering import lower
from planit.graph.merge import Branch, label_of, merge
from planit.graph.stages import Edge, EdgeKind, Graph, Stage, common_start

__all__ = [
    "Branch",
    "Edge",
    "EdgeKind",
    "Graph",
    "Stage",
    "common_start",
    "durations",
    "label_of",
    "lower",
    "merge",
]
