# What each target does: make help. Settings are given as VARIABLE=value behind the target.

PORT ?= 8000
TRITON_GRPC_PORT ?= 8001
API_KEYS ?=
API_KEYS_FILE ?=
PYTHON ?=
CONCURRENCY ?= 8
WORKERS ?=
TRITON_METRICS_PORT ?=
TODAY_DATE ?=
# Not taken from the environment, where shells keep values of their own under these names.
HOST = 127.0.0.1
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
export PARTS PEERS ROUNDS MINUTES ENGINE TOKENS_PER_SECOND JITTER TOKENS_PER_RESPONSE ANSWER_LENGTH
export TODAY_DATE PORT TRITON_GRPC_PORT API_KEYS API_KEYS_FILE PYTHON CONCURRENCY WORKERS TRITON_METRICS_PORT HOST MODEL NAME PRECISION

ifeq ($(origin API_KEYS),command line)
$(error API_KEYS behind the target shows in the list of processes; export it, or set API_KEYS_FILE)
endif

VENV_PYTHON = .venv/bin/python
MODEL_FOLDERS = $(dir $(wildcard model_repository/*/1/model.py scripts/replay/*/1/model.py build/llm_api/model/1/model.py native/engine_process/engine_host.py))

.PHONY: help setup serve build-engines plan test test-all check format perf bench soak keys docs lock clean
.DEFAULT_GOAL := help

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 16
	@echo "Settings of build-engines on GPUs: RECIPE TP PP MAX_SEQ_LEN MAX_BATCH_SIZE SET LORA CONFIG BACKEND"
	@echo "Settings: PORT TRITON_GRPC_PORT HOST API_KEYS API_KEYS_FILE MODEL NAME PRECISION ENGINE TODAY_DATE WORKERS CONCURRENCY PYTHON (README.md)"

setup: ## Make .venv with the pinned packages (the other targets do it when needed)
	@python=$$(sh scripts/find_python.sh) && exec "$$python" -m scripts.setup

# exec: the script itself must get make's SIGTERM.
serve: setup ## Serve the model at PORT, building its engine first if need be
	@exec $(VENV_PYTHON) -m scripts.serve

build-engines: setup ## Turn MODEL (a GGUF file or a Hugging Face folder) into engines/NAME; on GPUs by a RECIPE
	@exec $(VENV_PYTHON) -m build $(if $(MODEL),--model '$(MODEL)') $(if $(NAME),--name '$(NAME)') \
	    $(if $(PRECISION),--precision '$(PRECISION)') $(if $(BACKEND),--backend '$(BACKEND)') \
	    $(if $(RECIPE),--recipe '$(RECIPE)') $(if $(TP),--tp '$(TP)') $(if $(PP),--pp '$(PP)') \
	    $(if $(MAX_SEQ_LEN),--max-seq-len '$(MAX_SEQ_LEN)') \
	    $(if $(MAX_BATCH_SIZE),--max-batch-size '$(MAX_BATCH_SIZE)') \
	    $(if $(SET),--set '$(SET)') $(if $(LORA),--lora '$(LORA)') $(if $(CONFIG),--config '$(CONFIG)')

plan: setup ## Show what fits: MODEL=8b PRECISION=fp8 GPUS=8xH100 CONTEXT=8192 (GPUS: this machine's)
	@exec $(VENV_PYTHON) -m build.plan $(if $(MODEL),--model '$(MODEL)') \
	    $(if $(PRECISION),--precision '$(PRECISION)') $(if $(GPUS),--gpus '$(GPUS)') \
	    $(if $(CONTEXT),--context '$(CONTEXT)') \
	    $(if $(filter command,$(origin CONCURRENCY)),--concurrency '$(CONCURRENCY)')

test: setup ## Run the tests that take seconds, on the embedded model too
	@exec $(VENV_PYTHON) -m scripts.run_tests

test-all: setup ## Run all tests, and hold what of the code they reach to the floor in pyproject.toml
	@exec $(VENV_PYTHON) -m scripts.run_tests --all

check: setup ## Check format, lint and types
	$(VENV_PYTHON) -m ruff format --check .
	$(VENV_PYTHON) -m ruff check .
	$(VENV_PYTHON) -m mypy frontend build serving scripts
	@# Each in its own folder: its modules import each other by bare name.
	@for folder in $(MODEL_FOLDERS); do echo "mypy $$folder"; \
	    (cd "$$folder" && "$(CURDIR)/$(VENV_PYTHON)" -m mypy --config-file "$(CURDIR)/pyproject.toml" \
	        --cache-dir "$(CURDIR)/.mypy_cache" *.py) || exit 1; done

format: setup ## Format the code and apply the linter's fixes
	$(VENV_PYTHON) -m ruff format .
	$(VENV_PYTHON) -m ruff check --fix .

perf: setup ## Measure the running server with perf_analyzer at CONCURRENCY
	@exec $(VENV_PYTHON) -m scripts.perf

bench: setup ## Measure PARTS=cost,delay,... (all but peers; docs/performance.md), or PEERS=1 other servers; writes results/
	@exec $(VENV_PYTHON) -m scripts.bench

keys: setup ## Manage API keys: ARGS='create NAME', 'list', 'revoke NAME' (docs/keys.md)
	@exec $(VENV_PYTHON) -m frontend.keys.command $(ARGS)

soak: setup ## Load with random faults for MINUTES (10) and a verdict on what was lost or leaked
	@exec $(VENV_PYTHON) -m scripts.soak

docs: setup ## Write the tables of docs/api.md from the code
	@exec $(VENV_PYTHON) -m scripts.api_table

lock: setup ## Pin pyproject.toml's packages with their hashes in scripts/*.txt
	$(VENV_PYTHON) -m uv pip compile --quiet pyproject.toml --group dev -o scripts/requirements.txt
	$(VENV_PYTHON) -m uv pip compile --quiet --group perf -o scripts/perf_analyzer.txt
	$(VENV_PYTHON) -m uv pip compile --quiet --group deploy --python-version 3.11 -o scripts/deploy_validators.txt
	$(VENV_PYTHON) -m uv pip compile --quiet --group plots -o scripts/bench/matplotlib.txt
	$(VENV_PYTHON) -m uv pip compile --quiet --group compiler -o build/ziglang.txt
	for peer in llama-cpp transformers vllm; do \
	    $(VENV_PYTHON) -m uv pip compile --quiet --group peer-$$peer --python-version 3.11 \
	        --no-emit-package torch --no-emit-package torchaudio --no-emit-package torchcodec \
	        --no-emit-package torchvision -o scripts/bench/peers/locks/$$peer.txt || exit 1; done
	$(VENV_PYTHON) -m uv pip compile --quiet deploy/frontend.in -c scripts/requirements.txt -o deploy/frontend.txt

clean: ## Remove everything make has made, except engines/
	rm -rf .venv .cache results .mypy_cache .ruff_cache .pytest_cache .hypothesis
