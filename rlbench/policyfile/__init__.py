"""An exported policy, opened: what it says of itself, and its answers. Without torch and Gymnasium for an ONNX file.

For whoever writes such files, times them or serves them. It knows nothing of runs and checkpoints.
"""
