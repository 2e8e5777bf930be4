"""Slurm as the distribution packs it, told to live inside namespaces."""

from deploy.site.layout import INTERNAL, NODES

CPUS = 256
"""Pretended per compute node, so that a test can run hundreds of small jobs at once."""
MEMORY_MIB = 262_144
"""Pretended as well; nothing enforces it."""
MEMORY_PER_CPU_MIB = 256
"""What a job gets that asks for nothing."""

CGROUP_CONF = "CgroupPlugin=cgroup/v1\n"
"""Named so that slurmd does not look for systemd; none of the plugins chosen below uses cgroups."""


def slurm_conf(site_folder: str) -> str:
    """Return slurm.conf, the same text on every node as Slurm demands.

    Everything that is not named keeps Slurm's own value, above all MinJobAge, MessageTimeout and KillWait.
    """
    controller = next(node for node in NODES if "slurmctld" in node.services)
    compute = [node for node in NODES if "slurmd" in node.services]
    lines = [
        "ClusterName=lab",
        f"SlurmctldHost={controller.name}({controller.address(INTERNAL)})",
        "SlurmUser=slurm",
        f"StateSaveLocation={site_folder}/nodes/{controller.name}/slurmctld",
        f"SlurmdSpoolDir={site_folder}/nodes/%n/slurmd",
        "SlurmctldPidFile=/run/slurm/slurmctld.pid",
        "SlurmdPidFile=/run/slurm/slurmd.pid",
        "SlurmctldLogFile=/var/log/slurm/slurmctld.log",
        "SlurmdLogFile=/var/log/slurm/slurmd.log",
        "ProctrackType=proctrack/linuxproc",
        "JobAcctGatherType=jobacct_gather/none",
        "SelectType=select/cons_tres",
        "SelectTypeParameters=CR_CPU_Memory",
        f"DefMemPerCPU={MEMORY_PER_CPU_MIB}",
        "SlurmdParameters=config_overrides",
        # A rebooted node comes back by itself.
        "ReturnToService=2",
        # Out of the box a job waits up to 3 s for its scheduler, and up to 30 s for the backfilling one.
        "SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,bf_interval=2",
        "MailProg=/bin/true",
    ]
    lines += [
        f"NodeName={node.name} NodeAddr={node.address(INTERNAL)} CPUs={CPUS} RealMemory={MEMORY_MIB}"
        for node in compute
    ]
    names = ",".join(node.name for node in compute)
    lines.append(f"PartitionName=visu Nodes={names} Default=YES MaxTime=INFINITE State=UP")
    return "\n".join(lines) + "\n"
