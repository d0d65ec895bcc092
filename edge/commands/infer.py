"""``oat-edge infer``: a bundle's policy on observations from a file, as fast as it goes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from edge.bundle import Bundle
    from edge.commands.array_files import ArrayFile
    from edge.engines import Engine
    from edge.shared_memory import Record


def infer(
    bundle: Annotated[str, typer.Argument(help="A shipped bundle, or a directory.")],
    observations: Annotated[
        Path, typer.Argument(help=".npz: an array (N, n_obs_steps, dim) per observation key.")
    ],
    k: Annotated[int, typer.Option("--k", help="Tokens to generate, greedily.")],
    out: Annotated[Path, typer.Option(help=".npz: tokens (N, k), action (N, horizon, dim).")],
    engine: Annotated[str, typer.Option(help="What runs the graphs.")] = "ort",
    precision: Annotated[str, typer.Option(help="fp32 if left out.")] = "",
) -> None:
    """Compute tokens and actions for every observation in a file; units as in training."""
    from edge import bundle as bundles
    from edge.commands.array_files import ArrayFile, write_arrays
    from edge.commands.bundles import find_bundle
    from edge.commands.offline import check_prefix, choose_precision
    from edge.engines import build_engine

    loaded = bundles.load(find_bundle(bundle))
    check_prefix(loaded, k)
    built = build_engine(loaded, engine, choose_precision(loaded, precision))
    records = _records(loaded, ArrayFile(observations))
    tokens, action = _plan_all(built, loaded, records, k)
    write_arrays(out, {"tokens": tokens, "action": action})
    print(f"{out}: {len(records)} plans of {k} tokens")


def _records(bundle: Bundle, file: ArrayFile) -> Record:
    """One observation record per row of the file."""
    import numpy as np

    from edge.commands.array_files import one_length
    from edge.records import request_dtype

    steps = bundle.manifest.n_obs_steps
    features = {
        item.key: file.floats(item.key, (steps, item.size)) for item in bundle.manifest.observation
    }
    count = one_length(file.path, features)
    records = np.zeros(count, request_dtype(bundle.manifest)["features"])
    for key, values in features.items():
        records[key] = values
    return records


def _plan_all(
    engine: Engine, bundle: Bundle, records: Record, k: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    import numpy as np

    facts = bundle.manifest.action
    tokens = np.zeros((len(records), k), np.int64)
    action = np.zeros((len(records), facts.action_horizon, len(facts.names)), np.float32)
    for row in range(len(records)):
        engine.prefill(records[row])
        tokens[row] = [engine.next_token() for _ in range(k)]
        action[row] = engine.decode_full(k)
    return tokens, action
