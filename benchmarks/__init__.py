"""Each prints one table, planit beside its peers and the limit; none asserts on time."""
