"""``oat-edge tokens``: a bundle's tokenizer on files, chunks to tokens and back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge.commands.token_studies import lengths, order

if TYPE_CHECKING:
    from edge.bundle import Bundle
    from edge.commands.array_files import ArrayFile
    from edge.engines import Condition, Decoder, Float32Array

BundleName = Annotated[str, typer.Argument(help="A shipped bundle, or a directory.")]

tokens_app = typer.Typer(
    help="Encode chunks and decode tokens offline. A tokenizer that is conditioned on the previous "
    "command takes that, too: an array command (N, dim); one that is conditioned on the "
    "observation, an array for each of its features (N, n_obs_steps, dim).",
    no_args_is_help=True,
)


tokens_app.command()(order)
tokens_app.command()(lengths)


@tokens_app.command()
def encode(
    bundle: BundleName,
    chunks: Annotated[Path, typer.Argument(help=".npz: chunks (N, action_horizon, dim).")],
    out: Annotated[Path, typer.Option(help=".npz: tokens (N, tokens).")],
) -> None:
    """Turn action chunks into tokens, all of them."""
    import numpy as np

    from edge import bundle as bundles
    from edge.commands.array_files import ArrayFile, one_length, write_arrays
    from edge.commands.bundles import find_bundle
    from edge.engines.offline import OrtEncoder

    loaded = bundles.load(find_bundle(bundle))
    encoder, file = OrtEncoder(loaded), ArrayFile(chunks)
    action = loaded.manifest.action
    actions = file.floats("chunks", (action.action_horizon, len(action.names)))
    seen = _conditions(loaded, file)
    count = one_length(chunks, {"chunks": actions} | seen)
    tokens = np.zeros((count, loaded.manifest.tokenizer.tokens), np.int64)
    for row, chunk in enumerate(actions):
        tokens[row] = encoder.encode(chunk, _at(seen, row))
    write_arrays(out, {"tokens": tokens})
    print(f"{out}: {len(tokens)} chunks encoded")


@tokens_app.command()
def decode(
    bundle: BundleName,
    tokens: Annotated[Path, typer.Argument(help=".npz: tokens (N, k or more).")],
    k: Annotated[int, typer.Option("--k", help="Tokens to decode, the first ones.")],
    out: Annotated[Path, typer.Option(help=".npz: action (N, action_horizon, dim).")],
    engine: Annotated[str, typer.Option(help="What runs the graph.")] = "ort",
    precision: Annotated[str, typer.Option(help="fp32 if left out.")] = "",
) -> None:
    """Turn the first k tokens of each row into actions, in the units of training."""
    import numpy as np

    from edge import bundle as bundles
    from edge.commands.array_files import ArrayFile, one_length, write_arrays
    from edge.commands.bundles import find_bundle
    from edge.commands.offline import check_prefix, choose_precision
    from edge.engines.offline import build_decoder
    from edge.errors import RunError

    loaded = bundles.load(find_bundle(bundle))
    check_prefix(loaded, k)
    decoder = build_decoder(loaded, engine, choose_precision(loaded, precision))
    file = ArrayFile(tokens)
    codes, seen = file.integers("tokens", (-1,)), _conditions(loaded, file)
    if codes.shape[1] < k:
        raise RunError(f"{tokens}: tokens is {codes.shape}, too short for --k {k}")
    facts = loaded.manifest.action
    shape = (one_length(tokens, {"tokens": codes} | seen), facts.action_horizon, len(facts.names))
    action = np.zeros(shape, np.float32)
    for row, code in enumerate(codes):
        _place(decoder, code[:k].tolist(), _at(seen, row), f"{tokens}: tokens, row {row}")
        action[row] = decoder.decode_full(k)
    write_arrays(out, {"action": action})
    print(f"{out}: {len(action)} chunks decoded from {k} tokens")


def _place(decoder: Decoder, codes: list[int], condition: Condition, where: str) -> None:
    """``Decoder.place`` with complaints that say where in the file."""
    from edge.errors import EngineError, RunError

    try:
        decoder.place(codes, condition)
    except EngineError as error:
        raise RunError(f"{where}: {error}") from error


def _conditions(bundle: Bundle, file: ArrayFile) -> dict[str, Float32Array]:
    """Of what the tokenizer is conditioned on, one row for each chunk."""
    from edge.engines.tensors import condition_tensors

    wanted = condition_tensors(bundle.manifest)
    return {name: file.floats(name, tensor.shape[1:]) for name, tensor in wanted.items()}


def _at(conditions: dict[str, Float32Array], row: int) -> Condition:
    return {name: values[row] for name, values in conditions.items()}
