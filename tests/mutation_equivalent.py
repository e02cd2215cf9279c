"""Mistakes of `tests/mutation.py` that change nothing a user could see, each with the reason."""

import re

# Part of the mutant's name, part of a line that it makes (or takes away) -> why no test notices it.
EQUIVALENT: list[tuple[str, str, str]] = [
    ("x_standing__", "phases.see_t", "one evaluation: any step is its step"),
    ("x_look__", "Watched(None)", "keeps more steps than are looked at"),
    ("distance_irrelevance__", "[a, (a - a[:, None]) % p]", "distance -d instead of d, over all d"),
    ("x__as_feature__", "outer.left.shape[1] > 2", "a weight is read at one position or at three"),
    ("LayeredForm", "queries=1), passed_on=2)", "the last position alone is read"),
    ("x_choices__", "is Literal) or True", "other types have no arguments here"),
    ("Terms", "sort(stable=", "a guard for GPUs: on a CPU PyTorch's sort is stable"),
    ("RowKernel", "slice(None, inputs)", "a slice from 0"),
    ("trunc_normal__", "clamp(-3 * std", "the clamp catches rounding alone, and at the upper end"),
    ("verdict.x__extent__", "default=", "where no step is known none is printed"),
    ("x__thinned__", ".clip(0, None)", "a guard against rounding"),
    ("x_steps_left__", 'summary.get("step", ', "what is no number counts as 0"),
    ("published.x__equal__", "isclose(ours, theirs, )", "the default"),
    ("x_bystander__", "gone.append(None)", "that there is one is all that is asked"),
    ("x_bystander__", "XXBystanderXX", "the name of a class that nobody sees"),
    ("x__go_on__", "stacklevel=", "warnings are shown without their place"),
    ("x_git_commit__", "", "measured in a copy of the files, where there is no commit"),
    ("x__load_nearest__", "if (named) and False else", "the file says the same as its name"),
    ("x_median_ratio__", "nan_to_num(ratios, posinf=np.inf)", "the default of nan is 0"),
    ("x_seeds_needed__", "> POWER", "a power is never exactly 0.8"),
    ("margin.x_top2_margin__", "logits.topk(3,", "there are three classes at least; two are read"),
    ("film.x__gif__", "[:: +(-len(images)", "the colours are chosen from as many other frames"),
    ("times.x__stairs__", "(end, 1), 601)", "how many steps lie between two falls is not seen"),
    ("x__frequencies__", "> len(table) / 2", "a whole number: more than n / 2 is more than n // 2"),
    ("x_check_name__", 'XX/XX", os.sep', "os.sep is the same where tests run"),
    ("x_warn_of_other_kernels__", "stacklevel=", "warnings are shown without their place"),
    ("logit_wave", '_line(0, "XX', "the name of a panel's line is shown nowhere"),
    ("x_spectrum__", '_line(key, "XX', "the name of a panel's line is shown nowhere"),
]

# A mistake in nothing but this, in any function.
EVERYWHERE: list[tuple[str, str]] = [
    (r"device=[\w.]+", "the default is the CPU, where tests run"),
    (r"strict=\w+", "a guard: the two are of one length wherever the function is called"),
    (r"encoding=(None|\"[^\"]*\")", "the default of the systems that tests run on"),
]


def reason(name: str, before: str, after: str) -> str | None:
    """Why a mistake that makes `after` of the lines `before` is none; None if it is one."""
    for part, text, why in EQUIVALENT:
        if part in name and (text in after or (not after and text in before)):
            return why
    for pattern, why in EVERYWHERE:
        if _without(pattern, before) == _without(pattern, after):
            return why
    return None


def _without(pattern: str, line: str) -> str:
    return re.sub(r"[\s,]+(?=[)\]]|$)", "", re.sub(pattern, "", line)).strip()
