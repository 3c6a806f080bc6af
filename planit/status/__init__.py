"""From evidence (markers, queue, accounting) to the state of each step, with its cause."""
