"""The experiment itself, to be read in this order:

    config      every setting of a run           phases      when a run memorises, generalises ...
    placement   where norms stand                training    the loop
    tasks       what is learned                  process     threads of a process that trains
    data        pairs and their split            gpu_random  random numbers of the published GPU
    model       the transformer                  engines/    what computes losses and gradients
    initial     its initial weights              optimizers/ what makes updates of gradients
    loss        cross-entropy that keeps its accuracy

Depends on torch, pydantic, jaxtyping and the standard library, and on nothing else of the
package. `config`, `opt_config`, `placement` and `tasks` do not import torch, so that the command
line can check what a user typed without waiting for it.

Shapes are written in one notation everywhere:

    batch   rows, i.e. pairs (a, b)           d       d_model, width of the residual stream
    pos     position in [a, b, =], 3          hidden  d_mlp, width of the MLP
    query   position that attends             vocab   tokens, which are also the classes
    key     position that is attended to      head    attention head
                                              k       d_model / n_heads, width of a head
"""
