"""The local backend as users meet it: the command line and real processes."""
