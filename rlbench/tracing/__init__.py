"""A trained agent as one graph: traced or tabulated, made simple, written in each format."""
