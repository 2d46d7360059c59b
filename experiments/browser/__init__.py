"""A page that plays exported policies by ONNX Runtime Web. ``python -m rlbench.experiments.browser``."""
