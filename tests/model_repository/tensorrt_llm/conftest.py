"""The libraries of cpu_decoder where the engine looks for them."""

import sys

from build.cpu.library import decoder_libraries

sys.path += [str(library.parent) for library in decoder_libraries().values()]
