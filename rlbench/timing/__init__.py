"""How long a policy takes to answer, live and by files, side by side."""
