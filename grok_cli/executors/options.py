"""What the options of all kinds of executor share."""

from pydantic import BaseModel, ConfigDict, Field

MEMORY_UNITS = {"M": 2**20, "G": 2**30, "T": 2**40}  # bytes


class Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)


class ClusterOptions(Options):
    cpus: int = Field(1, ge=1, description="CPU cores of a run, and its threads.")
    memory: str | None = Field(
        None, pattern=r"^[1-9]\d*[MGT]$", description="Memory of a run, e.g. 2G."
    )

    def memory_bytes(self) -> int | None:
        """Memory of a run in bytes; None where it is left to the cluster."""
        return int(self.memory[:-1]) * MEMORY_UNITS[self.memory[-1]] if self.memory else None
