"""A policy file served over HTTP: FastAPI on uvicorn, requests that arrive together computed together.

For `rlbench serve`. It stands on `policyfile` alone, knows nothing of runs, imports neither torch nor Gymnasium, and
opens nothing that can run code.
"""
