"""Slurm through sbatch, squeue and scancel on a command node."""
