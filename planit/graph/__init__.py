"""What must happen: stages, typed edges, estimates. Pure: no files, no scheduler."""

from planit.graph.estimate import durations
from planit.graph.merge import Branch, merge
from planit.graph.stages import Edge, EdgeKind, Graph, Stage, common_start, lower

__all__ = ["Branch", "Edge", "EdgeKind", "Graph", "Stage", "common_start", "durations", "lower", "merge"]
