from pathlib import Path

import pytest
from decoder.cpu_level import UnsuitableCpu
from decoder.library import find_library


def test_the_library_is_the_first_of_its_level_in_the_folders(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("other", "first", "second")]
    for folder in folders:
        folder.mkdir()
    (folders[0] / "libcpu_decoder_avx512.so").touch()
    for folder in folders[1:]:
        (folder / "libcpu_decoder_avx2.so").touch()
    assert find_library(["", *map(str, folders)], "avx2") == folders[1] / "libcpu_decoder_avx2.so"
    with pytest.raises(UnsuitableCpu, match=r"libcpu_decoder_avx2\.so is in none of the folders"):
        find_library([str(folders[0])], "avx2")
