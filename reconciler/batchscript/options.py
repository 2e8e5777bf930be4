"""What a job asks of Slurm, as options of sbatch. They win over the template's own ``#SBATCH`` lines."""

from reconciler.model.wish import JobSpec, Resources


def options(resources: Resources) -> tuple[str, ...]:
    """Return the options of sbatch for what is given; what is left out, the template or the site decides."""
    asked = (
        ("--partition", resources.partition),
        ("--nodes", resources.nodes),
        ("--ntasks-per-node", resources.tasks_per_node),
        ("--mem", None if resources.memory_mib is None else f"{resources.memory_mib}M"),
        ("--gpus-per-node", resources.gpus or None),
        ("--time", resources.time_limit_minutes),
    )
    return tuple(f"{option}={value}" for option, value in asked if value is not None)


def sbatch_options(spec: JobSpec) -> tuple[str, ...]:
    """Return everything that a wish has sbatch told."""
    again = "--requeue" if spec.on_node_failure == "requeue" else "--no-requeue"
    return (again, *options(spec.resources))
