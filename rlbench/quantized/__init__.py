"""Policies with weights of 8 bits: made, and kept where that costs no return."""
