# A policy file, served: ONNX Runtime on the CPU, no PyTorch, no root. See docs/serving.md.
#
#   docker build -t rlbench-serve .
#   docker run --rm -p 8000:8000 -v "$PWD/policy.onnx:/policy.onnx:ro" rlbench-serve

FROM python:3.11-slim AS wheel
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.11-slim
COPY requirements-serve.txt constraints.txt /
RUN pip install --no-cache-dir --no-compile -r /requirements-serve.txt
COPY --from=wheel /wheels /wheels
RUN pip install --no-cache-dir --no-compile --no-deps /wheels/*.whl
ENV PYTHONDONTWRITEBYTECODE=1
USER 65534:65534
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
CMD ["rlbench", "serve", "/policy.onnx", "--host", "0.0.0.0", "--port", "8000"]
