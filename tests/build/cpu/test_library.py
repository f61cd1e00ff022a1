from decoder.cpu_level import LEVELS, library_name

from build.cpu.library import decoder_libraries


def test_every_level_of_cpus_has_its_library() -> None:
    names = {level: library.name for level, library in decoder_libraries().items()}
    assert names == {level: library_name(level) for level in LEVELS}
