"""The plan as tables, with the arithmetic behind every number."""

from dataclasses import replace

from rich.console import Console
from rich.table import Table

from build.gpus import Gpus
from build.plan.gpu_memory import KV_FRACTION, RUNTIME_BYTES, kv_bytes_per_token, weight_bytes
from build.plan.layouts import Layout, Wish, layouts, recommended
from build.plan.precisions import PRECISIONS, runs_on

_MOST_NODES = 4


def print_plan(console: Console, wish: Wish, gpus: Gpus, folder: str) -> bool:
    """Prints what fits, and the command that builds it of the model's folder; returns whether any does."""
    found = layouts(wish, gpus)
    chosen = recommended(found, wish)
    _say(console, *_arithmetic(wish, gpus))
    console.print(_table(found, chosen))
    if chosen is None:
        _say(console, *_refusal(wish, gpus))
        return False
    _say(console, *_recommendation(chosen, wish, gpus, folder))
    return True


def _arithmetic(wish: Wish, gpus: Gpus) -> list[str]:
    shape, precision = wish.shape, wish.precision
    weights = weight_bytes(shape, precision.name)
    kv_bytes = 1 if precision.has_8_bit_kv else 2
    kv = kv_bytes_per_token(shape, is_8_bit=precision.has_8_bit_kv)
    return [
        f"{shape.name} in {precision.name}, sequences of {wish.context:,} tokens, on {gpus} "
        f"({_gb(gpus.gpu.memory_mib << 20)} each)",
        f"weights  {shape.num_weights / 1e9:.1f} billion = {_gb(weights)}, {weights / shape.num_weights:.2f} "
        "bytes each (embedding and output layer in 16 bits)",
        f"KV cache 2 x {shape.num_layers} layers x {shape.num_kv_heads} heads x {shape.head_size} x "
        f"{kv_bytes} byte(s) = {kv / 1024:g} KiB a token, {_gb(kv * wish.context)} a sequence",
        f"of one GPU, in GB: KV cache = {KV_FRACTION:g} x "
        f"(total - weights - buffers - {RUNTIME_BYTES / 1e9:g} of the runtime)",
    ]


def _table(found: list[Layout], chosen: Layout | None) -> Table:
    table = Table(box=None, padding=(0, 1))
    for name in ("TP x PP", "weights", "buffers", "KV cache", "KiB/token", "tokens", "sequences", "copies"):
        table.add_column(name, justify="right", no_wrap=True)
    for layout in found:
        memory, size = layout.memory, layout.size
        table.add_row(
            f"{size.tp} x {size.pp}",
            *(f"{amount / 1e9:.1f}" for amount in (memory.weights, memory.activations, memory.kv_pool)),
            f"{memory.kv_per_token / 1024:.1f}",
            f"{memory.kv_tokens:,}",
            f"{layout.sequences:,}" if layout.sequences else "none",
            str(layout.copies),
            style="bold" if layout is chosen else "",
        )
    return table


def _recommendation(chosen: Layout, wish: Wish, gpus: Gpus, folder: str) -> list[str]:
    size = chosen.size
    lines = [
        f"recommended: TP={size.tp} PP={size.pp} max_seq_len={wish.context} "
        f"max_batch_size={size.max_batch_size} max_num_tokens={size.max_num_tokens}"
    ]
    if chosen.sequences < wish.concurrency:
        lines.append(f"  room for {chosen.sequences} of the {wish.concurrency} sequences; others wait")
    if chosen.copies > 1:
        lines.append(f"  {chosen.copies} copies fit, {chosen.copies * chosen.sequences:,} sequences in all")
    if size.tp > 1 and not gpus.gpu.has_nvlink:
        lines.append(
            f"  {gpus.gpu.name} has no NVLink: {size.tp} GPUs exchange every layer's results over PCIe"
        )
    build = f"make build-engines MODEL={folder} PRECISION={wish.precision.name} TP={size.tp} PP={size.pp}"
    batch = f"MAX_BATCH_SIZE={size.max_batch_size} SET=max_num_tokens={size.max_num_tokens}"
    return [*lines, f"  {build} MAX_SEQ_LEN={wish.context} {batch}"]


def _refusal(wish: Wish, gpus: Gpus) -> list[str]:
    lines = [f"{wish.shape.name} in {wish.precision.name} does not fit {gpus}; what would:"]
    for precision in PRECISIONS.values():
        other = replace(wish, precision=precision)
        if runs_on(precision, gpus.gpu) and recommended(layouts(other, gpus), other):
            lines.append(f"  PRECISION={precision.name} on the same GPUs")
    for nodes in range(gpus.num_nodes, _MOST_NODES + 1):
        larger = replace(gpus, per_node=8, num_nodes=nodes)
        layout = recommended(layouts(wish, larger), wish)
        if layout:
            lines.append(f"  {larger}: TP={layout.size.tp} PP={layout.size.pp}")
            break
    shorter = _longest_context(wish, gpus)
    if shorter:
        lines.append(f"  CONTEXT={shorter} on the same GPUs")
    return lines if len(lines) > 1 else [*lines, "  GPUs with more memory"]


def _longest_context(wish: Wish, gpus: Gpus) -> int:
    """The longest power of 2 below the wish of which one sequence fits; 0 when not even 1,024 tokens do."""
    context = 1 << (wish.context - 1).bit_length()
    while context > 1024:
        context //= 2
        shorter = replace(wish, context=context)
        if context < wish.context and recommended(layouts(shorter, gpus), shorter):
            return context
    return 0


def _say(console: Console, *lines: str) -> None:
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _gb(size: int) -> str:
    return f"{size / 1e9:,.1f} GB"
