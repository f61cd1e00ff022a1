# Triton with TensorRT-LLM 1.2.1, the last line with compiled engines, and this repository: it builds engines and serves
# them. docker build -f deploy/triton.Dockerfile -t triton-llama-triton .
FROM nvcr.io/nvidia/tritonserver:26.07-trtllm-python-py3
# ssh starts the ranks of an engine on other nodes; the archive of the image's release has one version of each.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends make openssh-client openssh-server python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/triton-llama
COPY Makefile pyproject.toml ./
COPY build build
COPY scripts scripts
COPY serving serving
COPY deploy/gpu_node.txt deploy/gpu_node.txt
# What the launcher, the probes and the build import, in a virtual environment: the models run in the image's own.
RUN make setup && rm -rf .cache /root/.cache && install -d -o 1000 -g 1000 .cache engines
COPY native native
COPY model_repository model_repository
# triton-server, the image's own user.
USER 1000:1000
EXPOSE 8001 8002
ENTRYPOINT ["/opt/triton-llama/.venv/bin/python", "-m", "serving.node.triton_node"]
