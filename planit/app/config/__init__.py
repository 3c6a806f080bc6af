"""From the command line and conf/ to a plan: composing, building, and what is refused."""
