"""What must happen: stages, typed edges, estimates, and which steps may start.

Pure: no files, no processes, no scheduler.
"""

from planit.graph.estimate import durations
from planit.graph.folders import refuse_folders, with_folders
from planit.graph.lowering import lower
from planit.graph.merge import Branch, label_of, merge
from planit.graph.part import DoneBefore, Part, part_of, to_run
from planit.graph.stages import Edge, EdgeKind, Graph, Stage, common_start
from planit.graph.tracker import Tracker

__all__ = [
    "Branch",
    "DoneBefore",
    "Edge",
    "EdgeKind",
    "Graph",
    "Part",
    "Stage",
    "Tracker",
    "common_start",
    "durations",
    "label_of",
    "lower",
    "merge",
    "part_of",
    "refuse_folders",
    "to_run",
    "with_folders",
]
