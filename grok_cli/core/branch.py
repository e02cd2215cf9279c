"""The settings of a branch: which run it left, after which step, and what was done there.

A branch is a run whose first part is another run's, its parent's. What it computes differently from
then on stands in the other sections; what was done once, where it left, stands here, and is carried
out by `interventions`. This section is part of what the run is, and only branches have it.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from grok_cli.core.fields import Section

PHASES = ("memorised", "generalised")
AFTER_PHASE = re.compile(rf"({'|'.join(PHASES)})(?:\+([0-9]{{1,9}}))?")
EXPECTED_AT = f"expected a step, {' or '.join(PHASES)}, or one of these and steps: memorised+200"
# Settings that a branch cannot change, and what they decide.
BEHIND = {
    **dict.fromkeys(
        ("train.seed", "model.init", "model.init_draws", "model.init_scale"), "the first weights"
    ),
    **dict.fromkeys(
        (
            *("data.modulus", "model.n_layers", "model.d_model", "model.mlp_ratio"),
            *("model.mlp_type", "model.unembed", "model.subtract_init"),
        ),
        "which weights there are",
    ),
}
# Settings that say for how long and when it is looked at, and not what is computed.
LENGTH = (
    *("train.steps", "train.until_grokked", "train.snapshot_every"),
    *("train.eval_every", "train.eval_spacing", "train.evals_per_decade"),
)


def _at(value: Any) -> int | str:
    """The step or phase that was meant; "+200" is 200 steps after memorisation."""
    text = str(value).strip()
    if not isinstance(value, bool | float) and text.isdecimal() and len(text) < 10:
        return int(text)
    text = f"memorised{text}" if text.startswith("+") else text
    match = AFTER_PHASE.fullmatch(text)
    if match is None:
        raise ValueError(EXPECTED_AT)
    return f"{match[1]}+{int(match[2])}" if match[2] and int(match[2]) else match[1]


At = Annotated[int | str, BeforeValidator(_at)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{10}$")]
Patterns = tuple[str, ...]


class BranchConfig(Section):
    """Where a branch left its parent, and what was done to the state there."""

    parent: Digest | None = Field(
        None, description="Digest of the run that this one left; null: it left none."
    )
    at: At = Field(
        0, description="Step after which it left: a number, memorised, generalised, memorised+200."
    )
    was: dict[str, Any] = Field(
        default_factory=dict, description="The parent's values of the settings that were changed."
    )
    transplant: Patterns = Field(
        (), description="Parameters that are taken from the run `donor`: parts, names or patterns."
    )
    donor: Digest | None = Field(None, description="Digest of the run that gives weights.")
    donor_at: At | Literal["end"] = Field("end", description="Step of the donor's weights.")
    frequencies: Literal["all", "only", "without"] = Field(
        "all",
        description="What stays of embedding and unembedding: all waves over the residues, only "
        "`which_frequencies`, or all without these.",
    )
    which_frequencies: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (), description="Frequencies; none given: the key frequencies of the embedding there."
    )
    parameters: Patterns = Field(
        ("*",), description="Parameters that `scale` and `perturb` change."
    )
    scale: float = Field(
        1.0, ge=0, description="Factor on each of them: the direction stays, the norm changes."
    )
    perturb: float = Field(
        0.0, ge=0, description="Size of a random change of each of them, in units of its norm."
    )
    perturb_keeps: Literal["nothing", "norm", "direction"] = Field(
        "nothing", description="What of each parameter the random change leaves as it is."
    )
    perturb_seed: int = Field(0, ge=0, lt=2**31, description="Seed of the random change.")
    reset_moments: bool = Field(
        False, description="Set the optimiser's moments and step counts to 0."
    )
    freeze: Patterns = Field(
        (), description="Parameters that stay as they are from then on: parts, names or patterns."
    )

    @model_validator(mode="after")
    def _possible(self) -> "BranchConfig":
        changed = [
            name
            for name, field in type(self).model_fields.items()
            if getattr(self, name) != field.get_default(call_default_factory=True)
        ]
        if self.parent is None and changed:
            raise ValueError(
                f"branch.{changed[0]}: only a branch of a run has it; expected `grok branch RUN "
                f"--at STEP --set branch.{changed[0]}=...`"
            )
        if bool(self.transplant) != (self.donor is not None):
            raise ValueError(
                "branch.transplant: what is taken and the run that gives it (branch.donor) belong "
                "together; expected both or neither"
            )
        return self
