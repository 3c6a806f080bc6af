"""What changes a run: a new one, resume, cancel, and what an interrupted submission left."""
