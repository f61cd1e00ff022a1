# What each target does: make help. Settings are given as VARIABLE=value behind the target.

# Without a value the defaults hold that README.md and docs/ tell, or what the settings file says (docs/settings.md).
PORT ?=
TRITON_GRPC_PORT ?=
TRITON_METRICS_PORT ?=
SETTINGS_FILE ?=
API_KEYS ?=
API_KEYS_FILE ?=
PYTHON ?=
CONCURRENCY ?=
WORKERS ?=
TODAY_DATE ?=
VERBOSE ?=
BASE_URL ?=
# Not taken from the environment, where shells keep values of their own under these names.
HOST =
MODEL =
NAME =
PRECISION =
BACKEND =
RECIPE =
TP =
PP =
MAX_SEQ_LEN =
MAX_BATCH_SIZE =
SET =
LORA =
CONFIG =
GPUS =
CONTEXT =
ENGINE =
TOKENS_PER_SECOND =
JITTER =
TOKENS_PER_RESPONSE =
ANSWER_LENGTH =
MINUTES =
PARTS =
PEERS =
ROUNDS =
export HOST PORT TRITON_GRPC_PORT TRITON_METRICS_PORT SETTINGS_FILE API_KEYS API_KEYS_FILE WORKERS TODAY_DATE PYTHON VERBOSE BASE_URL
export MODEL NAME PRECISION ENGINE TOKENS_PER_SECOND JITTER TOKENS_PER_RESPONSE ANSWER_LENGTH
export CONCURRENCY MINUTES PARTS PEERS ROUNDS

ifeq ($(origin API_KEYS),command line)
$(error API_KEYS behind the target shows in the list of processes; export it, or set API_KEYS_FILE)
endif

VENV_PYTHON = .venv/bin/python
MODEL_FOLDERS = $(dir $(wildcard model_repository/*/1/model.py scripts/replay/*/1/model.py build/llm_api/model/1/model.py native/engine_process/engine_host.py))

.PHONY: help setup setup-all serve chat models build-engines gpu-report plan test test-all check format perf bench soak kill-rounds trace keys docs lock clean
.DEFAULT_GOAL := help

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 16
	@echo "Settings of serve: HOST PORT WORKERS API_KEYS_FILE MODEL NAME PRECISION and more, in README.md; others in docs/settings.md"
	@echo "Settings of build-engines on GPUs: BACKEND RECIPE TP PP MAX_SEQ_LEN MAX_BATCH_SIZE SET LORA CONFIG (docs/gpu.md)"

setup: ## Make .venv with the pinned packages that serving needs (the other targets do it when needed)
	@python=$$(sh scripts/find_python.sh) && exec "$$python" -m scripts.setup

setup-all: ## The same with what the tests and tools need
	@python=$$(sh scripts/find_python.sh) && exec "$$python" -m scripts.setup --all

# exec: the script itself must get make's SIGTERM.
serve: setup ## Serve the model at PORT, building its engine first if need be
	@exec $(VENV_PYTHON) -m scripts.serve

chat: setup ## Chat in the terminal with the server at PORT, or at BASE_URL=https://host/v1
	@exec $(VENV_PYTHON) -m scripts.chat

build-engines: setup ## Turn MODEL (a GGUF file or a Hugging Face folder) into engines/NAME; on GPUs by a RECIPE
	@exec $(VENV_PYTHON) -m build $(if $(MODEL),--model '$(MODEL)') $(if $(NAME),--name '$(NAME)') \
	    $(if $(PRECISION),--precision '$(PRECISION)') $(if $(BACKEND),--backend '$(BACKEND)') \
	    $(if $(RECIPE),--recipe '$(RECIPE)') $(if $(TP),--tp '$(TP)') $(if $(PP),--pp '$(PP)') \
	    $(if $(MAX_SEQ_LEN),--max-seq-len '$(MAX_SEQ_LEN)') \
	    $(if $(MAX_BATCH_SIZE),--max-batch-size '$(MAX_BATCH_SIZE)') \
	    $(if $(SET),--set '$(SET)') $(if $(LORA),--lora '$(LORA)') $(if $(CONFIG),--config '$(CONFIG)')
	@exec $(VENV_PYTHON) -m scripts.models

models: setup ## List the engines that are here, and what serves each
	@exec $(VENV_PYTHON) -m scripts.models

plan: setup ## Show what fits: MODEL=8b PRECISION=fp8 GPUS=8xH100 CONTEXT=8192 (GPUS: this machine's)
	@exec $(VENV_PYTHON) -m build.plan $(if $(MODEL),--model '$(MODEL)') \
	    $(if $(PRECISION),--precision '$(PRECISION)') $(if $(GPUS),--gpus '$(GPUS)') \
	    $(if $(CONTEXT),--context '$(CONTEXT)') \
	    $(if $(filter command,$(origin CONCURRENCY)),--concurrency '$(CONCURRENCY)')

gpu-report: setup ## Hold a GPU machine and NVIDIA's image against what is assumed here; writes results/
	@exec $(VENV_PYTHON) -m scripts.gpu_report

test: setup-all ## Run the tests that take seconds, on the embedded model too
	@exec $(VENV_PYTHON) -m scripts.run_tests

test-all: setup-all ## Run all tests, and hold what of the code they reach to the floor in pyproject.toml
	@exec $(VENV_PYTHON) -m scripts.run_tests --all

check: setup-all ## Check format, lint and types
	$(VENV_PYTHON) -m ruff format --check .
	$(VENV_PYTHON) -m ruff check .
	$(VENV_PYTHON) -m mypy frontend build serving scripts
	@# Each in its own folder: its modules import each other by bare name.
	@for folder in $(MODEL_FOLDERS); do echo "mypy $$folder"; \
	    (cd "$$folder" && "$(CURDIR)/$(VENV_PYTHON)" -m mypy --config-file "$(CURDIR)/pyproject.toml" \
	        --cache-dir "$(CURDIR)/.mypy_cache" .) || exit 1; done

format: setup-all ## Format the code and apply the linter's fixes
	$(VENV_PYTHON) -m ruff format .
	$(VENV_PYTHON) -m ruff check --fix .

perf: setup ## Measure the running server with perf_analyzer at CONCURRENCY
	@exec $(VENV_PYTHON) -m scripts.perf

bench: setup-all ## Measure PARTS=cost,delay,... (all but peers; docs/performance.md), or PEERS=1 other servers; writes results/
	@exec $(VENV_PYTHON) -m scripts.bench

keys: setup ## Manage API keys: ARGS='create NAME', 'list', 'revoke NAME' (docs/keys.md)
	@exec $(VENV_PYTHON) -m frontend.keys.command $(ARGS)

soak: setup-all ## Load with random faults for MINUTES (10) and a verdict on what was lost or leaked
	@exec $(VENV_PYTHON) -m scripts.soak

kill-rounds: setup-all ## Kill, stop and pause each process under load; a table of how long it took and what it cost
	@exec $(VENV_PYTHON) -m scripts.soak.kill_rounds

trace: setup-all ## List the files of frontend/ that a chat request crosses, and that a token crosses
	@exec $(VENV_PYTHON) -m scripts.trace_request

docs: setup-all ## Write the tables of docs/api.md from the code
	@exec $(VENV_PYTHON) -m scripts.api_table

lock: setup-all ## Pin pyproject.toml's packages with their hashes in scripts/*.txt
	$(VENV_PYTHON) -m uv pip compile --quiet pyproject.toml --group dev -o scripts/requirements.txt
	$(VENV_PYTHON) -m uv pip compile --quiet pyproject.toml -c scripts/requirements.txt -o scripts/serving.txt
	$(VENV_PYTHON) -m uv pip compile --quiet --group setup -o build/uv.txt
	$(VENV_PYTHON) -m uv pip compile --quiet --group perf -o scripts/perf_analyzer.txt
	$(VENV_PYTHON) -m uv pip compile --quiet --group deploy --python-version 3.11 -o scripts/deploy_validators.txt
	$(VENV_PYTHON) -m uv pip compile --quiet --group compose --python-version 3.11 -o scripts/docker_compose.txt
	$(VENV_PYTHON) -m uv pip compile --quiet --group browser -o scripts/playwright.txt
	$(VENV_PYTHON) -m uv pip compile --quiet --group plots -o scripts/bench/matplotlib.txt
	$(VENV_PYTHON) -m uv pip compile --quiet --group compiler -o build/ziglang.txt
	$(VENV_PYTHON) -m uv pip compile --quiet --group gpu-image -o scripts/gpu_image.txt
	for client in sdks llama-index aider node; do \
	    $(VENV_PYTHON) -m uv pip compile --quiet --group client-$$client -o tests/clients/locks/$$client.txt || exit 1; done
	for peer in llama-cpp transformers vllm; do \
	    $(VENV_PYTHON) -m uv pip compile --quiet --group peer-$$peer --python-version 3.11 \
	        --no-emit-package torch --no-emit-package torchaudio --no-emit-package torchcodec \
	        --no-emit-package torchvision -o scripts/bench/peers/locks/$$peer.txt || exit 1; done
	$(VENV_PYTHON) -m uv pip compile --quiet deploy/frontend.in -c scripts/requirements.txt -o deploy/frontend.txt
	$(VENV_PYTHON) -m uv pip compile --quiet deploy/gpu_node.in -c scripts/requirements.txt -o deploy/gpu_node.txt

clean: ## Remove everything make has made, except engines/
	rm -rf .venv .cache results .mypy_cache .ruff_cache .pytest_cache .hypothesis
