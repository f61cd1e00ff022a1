"""GPUs by name and by what nvidia-smi says."""

from dataclasses import replace

import pytest

from build.errors import BuildError
from build.gpus import GPUS, VISIBLE, Gpu, Gpus, detected_gpus, driver_problem, named_gpus


@pytest.mark.parametrize(
    ("text", "gpus"),
    [
        ("8xH100", Gpus(GPUS["H100"], 8, 1)),
        ("h200", Gpus(GPUS["H200"], 1, 1)),
        ("2x8xH100", Gpus(GPUS["H100"], 8, 2)),
        ("4xA100-40GB", Gpus(GPUS["A100-40GB"], 4, 1)),
        (" 4xA100 ", Gpus(GPUS["A100-80GB"], 4, 1)),
        ("1xH100-94GB", Gpus(GPUS["H100-NVL"], 1, 1)),
    ],
)
def test_names(text: str, gpus: Gpus) -> None:
    assert named_gpus(text) == gpus


@pytest.mark.parametrize(
    "text", ["", "8", "8x", "xH100", "0xH100", "8xH1000", "-1xH100", "3x2x8xH100", "8 H100"]
)
def test_what_names_no_gpus_is_an_error(text: str) -> None:
    with pytest.raises(BuildError, match=r"^GPUS: "):
        named_gpus(text)


H100 = Gpu("NVIDIA H100 80GB HBM3", 81559, 90, True)
TWO_H100 = """0, GPU-5a2f, 590.44.01, NVIDIA H100 80GB HBM3, 81559, 9.0
1, GPU-77c1, 590.44.01, NVIDIA H100 80GB HBM3, 81079, 9.0
"""


def test_nvidia_smi_tells_of_this_machine() -> None:
    """The second one has less memory, and the smallest counts."""
    assert detected_gpus(lambda: TWO_H100, {}) == Gpus(replace(H100, memory_mib=81079), 2, 1)


@pytest.mark.parametrize(
    ("visible", "gpus"),
    [
        ("0", Gpus(H100, 1, 1)),
        ("GPU-5a", Gpus(H100, 1, 1)),
        ("1, 0", Gpus(replace(H100, memory_mib=81079), 2, 1)),
        ("7", None),
        ("", None),
    ],
)
def test_only_what_cuda_shows_counts(visible: str, gpus: Gpus | None) -> None:
    assert detected_gpus(lambda: TWO_H100, {VISIBLE: visible}) == gpus


@pytest.mark.parametrize(
    ("line", "gpu"),
    [
        ("NVIDIA L40S, 46068, 8.9", Gpu("NVIDIA L40S", 46068, 89, False)),
        ("NVIDIA A100-SXM4-80GB, 81920, 8.0", Gpu("NVIDIA A100-SXM4-80GB", 81920, 80, True)),
        ("NVIDIA B200, 183359, 10.0", Gpu("NVIDIA B200", 183359, 100, True)),
        ("Name, with comma, 1024, 8.6", Gpu("Name, with comma", 1024, 86, False)),
    ],
)
def test_lines_of_nvidia_smi(line: str, gpu: Gpu) -> None:
    assert detected_gpus(lambda: f"0, GPU-1, 590.44.01, {line}", {}) == Gpus(gpu, 1, 1)


def test_no_gpu() -> None:
    assert detected_gpus(lambda: "", {}) is None


@pytest.mark.parametrize(
    "line",
    [
        "NVIDIA H100",
        "0, GPU-1, 590.44.01, NVIDIA H100, [N/A], 9.0",
        "0, GPU-1, 590.44.01, NVIDIA H100, 81559, [N/A]",
        "No devices",
    ],
)
def test_other_lines_are_an_error(line: str) -> None:
    with pytest.raises(BuildError, match="no GPU that can be used"):
        detected_gpus(lambda: line, {})


def test_different_gpus_are_an_error_unless_one_kind_is_chosen() -> None:
    text = "0, GPU-1, 590.44.01, NVIDIA L4, 23034, 8.9\n1, GPU-2, 590.44.01, NVIDIA A10G, 23028, 8.6\n"
    with pytest.raises(BuildError, match=r"different GPUs \(NVIDIA A10G, NVIDIA L4\).*CUDA_VISIBLE_DEVICES"):
        detected_gpus(lambda: text, {})
    assert detected_gpus(lambda: text, {VISIBLE: "1"}) == Gpus(Gpu("NVIDIA A10G", 23028, 86, False), 1, 1)


@pytest.mark.parametrize(
    ("driver", "cuda", "is_right"),
    [
        ("590.44.01", 0, True),
        ("610.43.02", 0, True),
        ("580.95.05", 0, True),
        ("570.124.06", 0, False),
        ("570.124.06", 12_080, False),
        # The image's own libcuda, for data-centre GPUs with an older driver.
        ("570.124.06", 13_010, True),
        ("", 0, True),
    ],
)
def test_the_driver_must_run_the_images_cuda(driver: str, cuda: int, is_right: bool) -> None:
    told = driver_problem(Gpus(H100, 1, 1, driver), lambda: cuda)
    assert (told is None) == is_right
    if told:
        assert told.startswith(f"The NVIDIA driver is {driver}, and CUDA 13.1")
