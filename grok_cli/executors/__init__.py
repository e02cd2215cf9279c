"""Where runs are trained: processes of this machine, a Slurm cluster, a Ray cluster."""
