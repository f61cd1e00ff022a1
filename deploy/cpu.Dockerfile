# Triton with the embedded CPU engine and its model: docker build -f deploy/cpu.Dockerfile -t triton-llama-cpu .
FROM python:3.12.12-slim-bookworm
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/triton-llama
COPY Makefile pyproject.toml ./
COPY build build
COPY scripts scripts
COPY serving serving
RUN make setup && rm -rf /root/.cache
COPY model_repository model_repository
RUN make build-engines
COPY native native
COPY frontend frontend
# tritonserver is put together out of its wheel here, and what is in C compiled: later the file system is read-only.
RUN .venv/bin/python -c "from pathlib import Path; from serving import backends, tritonserver as t; \
    backends.decoder_libraries(); t.command(Path('engines/smollm2-135m-instruct/model_repository'), 8001)" \
    && rm -rf .cache/zig .cache/ziglang-* /root/.cache \
    && install -d -o 1000 -g 1000 .cache/logs
USER 1000:1000
EXPOSE 8001 8002
ENTRYPOINT ["/opt/triton-llama/.venv/bin/python", "-m", "serving.node.triton_node"]
CMD ["--engine", "engines/smollm2-135m-instruct", "--metrics-port", "8002"]
