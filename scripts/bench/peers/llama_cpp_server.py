"""llama.cpp's own HTTP server: FILE PORT THREADS SLOTS TOKENS_PER_SLOT; xllamacpp has no command for it."""

import signal
import sys

import xllamacpp


def main() -> None:
    """Serves until SIGTERM."""
    file, port, threads, slots, slot_tokens = sys.argv[1], *map(int, sys.argv[2:])
    options = xllamacpp.CommonParams()
    options.model.path = file
    options.hostnames = ["127.0.0.1"]
    options.port = port
    options.n_parallel = slots
    options.n_ctx = slots * slot_tokens
    options.cpuparams.n_threads = options.cpuparams_batch.n_threads = threads
    print(xllamacpp.get_system_info(), flush=True)
    server = xllamacpp.Server(options)
    print(server.listening_address, flush=True)
    # Its threads are C++'s own: without a pending wait the interpreter would end them.
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main()
