"""Options of `--executor ray`."""

from typing import Any, Literal

from pydantic import Field

from grok_cli.executors.options import ClusterOptions


class RayOptions(ClusterOptions):
    """Tasks of a Ray cluster."""

    maker = "grok_cli.executors.ray.executor:make_executor"
    needs = ("ray", "ray[client]>=2.40")
    flags = {  # noqa: RUF012 -- a ClassVar of the base class
        **{"--cpus": "cpus", "--gpus": "gpus", "--memory": "memory", "--address": "address"},
        **{"--storage": "storage", "--lost-retries": "lost_retries"},
    }

    kind: Literal["ray"] = "ray"
    address: str | None = Field(
        None,
        description="Ray cluster, e.g. auto or ray://HOST:10001; without: RAY_ADDRESS, else one "
        "that is started here.",
    )
    gpus: float = Field(0.0, ge=0, description="GPUs of a run; runs may share one: 0.25.")
    storage: Literal["shared", "driver"] = Field(
        "shared",
        description="shared: all nodes see the runs' directory; driver: results are brought back "
        "to this machine.",
    )
    lost_retries: int = Field(
        3, ge=0, description="New attempts of a run whose worker or node was lost."
    )
    nodes_may_join: bool = Field(
        False, description="The cluster grows on demand: wait for a node that can hold a run."
    )
    runtime_env: dict[str, Any] = Field(
        {}, description="What Ray prepares for workers, e.g. env_vars; see Ray's documentation."
    )
